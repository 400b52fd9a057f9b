"""Object storage: bytes in a bucket of AWS S3, or of a server that speaks its protocol (`--blobs s3://BUCKET/PREFIX`).

    opener.py     opens the store that a URL names             settings.py  the URL
    store.py      the seam of the bytes, and where they are    spot.py      the places
    writer.py     one body: parts in order, and the tail       send_queue.py, memory.py, place_cache.py
    publishing.py completing and publishing                    compose.py   one object made of others
    backups.py    copies of records                            nodes.py     which servers are alive: unknown
    client.py     requests                                     object_headers.py, faults.py
    leftovers.py  what crashes have left                       garbage.py   what no record needs any more
    probe.py      whether objects can be stored, for /readyz

It needs aiobotocore (`pip install 'onward[s3]'`), which is imported only if such a store is opened.
"""
