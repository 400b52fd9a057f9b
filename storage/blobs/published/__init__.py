"""Finished files in a bucket, unfinished ones on the local disk (`--publish s3://… · gs://… · az://…`).

    opener.py   opens the local folder and the bucket that a URL names
    store.py    the seam of the bytes: what is published is in the bucket, all else is in the local folder
    bucket.py   the seam of the bucket, and the file on its way there
    s3.py       S3, by the client of `--blobs s3://`           clouds.py   Google Cloud Storage and Azure, by obstore

The packages that these need are imported only if such a bucket is opened.
"""
