"""Opens a local folder for unfinished bytes, and a bucket for finished files.

The URL is `publish+` and what `--publish` says; the server adds the options of S3 to it (storage/blobs/s3/settings.py).
"""

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from onward.storage.base import Durability, Modes, StoredBytes, Unreachable
from onward.storage.blobs.disk import DiskBlobs
from onward.storage.blobs.disk import open_blobs as open_folder
from onward.storage.blobs.published.bucket import Bucket
from onward.storage.blobs.published.store import PublishedBlobs
from onward.storage.blobs.s3.settings import read_url

PREFIX = "publish+"


async def open_blobs(url: str, data: Path, durability: Durability, shared: bool, modes: Modes) -> StoredBytes:
    """Open the folder and the bucket; raises ValueError and Unreachable."""
    bucket = await _open_bucket(url.removeprefix(PREFIX))
    try:
        stored = await open_folder("file:", data, durability, shared, modes)
    except BaseException:
        await bucket.close()
        raise
    assert isinstance(stored.blobs, DiskBlobs)  # noqa: S101
    return StoredBytes(blobs=PublishedBlobs(stored.blobs, bucket), backups=stored.backups, nodes=stored.nodes)


async def _open_bucket(url: str) -> Bucket:
    if url.startswith("s3:"):
        if find_spec("aiobotocore") is None:
            raise Unreachable("publish: s3: needs further packages; install them with: pip install 'onward[s3]'")
        from onward.storage.blobs.published.s3 import S3Bucket  # noqa: PLC0415
        from onward.storage.blobs.s3.client import open_client  # noqa: PLC0415

        settings = read_url(url)
        return S3Bucket(await open_client(settings), settings)
    scheme, name, path, *_ = urlsplit(url)
    if find_spec("obstore") is None:
        raise Unreachable(f"publish: {scheme}: needs a further package; install it with: pip install 'onward[publish]'")
    from onward.storage.blobs.published.clouds import CloudBucket  # noqa: PLC0415

    return CloudBucket(scheme, name, path.strip("/"))
