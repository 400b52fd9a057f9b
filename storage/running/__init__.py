"""How the storage waits for calls that block, or that must not be interrupted.

    threads.py         calls that block (files): worker threads, and answers that a cancellation waits for
    uncancellable.py   coroutines that must run to their end (Redis, leases)
    group_sync.py      one sync of the file system for many files that want one at the same time

The SQLite state has a thread of its own (`storage/state/sqlite_transactions.py`), because that thread commits many jobs
together.
"""
