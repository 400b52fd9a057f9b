"""Opens an object store."""

from importlib.util import find_spec
from pathlib import Path

from onward.storage.base import Durability, Modes, StoredBytes, Unreachable
from onward.storage.blobs.s3.settings import read_url


async def open_blobs(url: str, data: Path, _durability: Durability, shared: bool, _modes: Modes) -> StoredBytes:
    """Open the bucket that a URL names; raises ValueError and Unreachable."""
    if find_spec("aiobotocore") is None:
        raise Unreachable("s3: needs further packages; install them with: pip install 'onward[s3]'")
    from onward.storage.blobs.s3.backups import S3Backups, name_of  # noqa: PLC0415
    from onward.storage.blobs.s3.client import open_client  # noqa: PLC0415
    from onward.storage.blobs.s3.nodes import S3Nodes  # noqa: PLC0415
    from onward.storage.blobs.s3.store import S3Blobs  # noqa: PLC0415

    settings = read_url(url)
    client = await open_client(settings)
    try:
        name = await name_of(client, data, shared=shared)
    except BaseException:
        await client.close()
        raise
    return StoredBytes(blobs=S3Blobs(client, settings), backups=S3Backups(client, name), nodes=S3Nodes())
