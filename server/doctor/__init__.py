"""`onward doctor`: tries what a server needs, and says in words what is wrong and what to do.

command.py   the command: its arguments, what it prints, the exit status
finding.py   what is found
machine.py   the data folder, SQLite, the limits of this machine
redis.py     Redis
bucket.py    the bucket
proxy.py     what clients meet on their way through a proxy (`--url`)

It needs no lock, so it works beside a running server as well as without one.
"""
