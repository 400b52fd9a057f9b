"""The check of an object store for /readyz: a small object is stored and removed, but not at each request."""

import asyncio
import secrets

from onward.storage.blobs.s3.client import S3Client
from onward.storage.blobs.s3.garbage import remove_keys

STAYS = 10.0  # seconds that a success counts


class Probe:
    """Tries whether objects can be stored and removed."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._good_until = 0.0

    async def check(self) -> None:
        """Store and remove a small object; raises Full or Unreachable."""
        if asyncio.get_running_loop().time() < self._good_until:
            return
        name = f"partial/.probe-{secrets.token_hex(8)}"
        await self._client.store(name, [b"1"], patience=0.0)
        await remove_keys(self._client, [name])
        self._good_until = asyncio.get_running_loop().time() + STAYS
