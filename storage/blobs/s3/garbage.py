"""Objects that no record needs any more. They are removed in batches, a moment later, which saves requests.

What a crash keeps from being removed here is removed by the sweep (`S3Blobs.strays`).
"""

import asyncio
import logging
from contextlib import suppress

from onward.protocol.model import UploadId
from onward.storage.base import StorageError
from onward.storage.blobs.s3.client import S3Client
from onward.storage.running.uncancellable import uncancellable

AT_ONCE = 1000  # keys; S3 takes no more in one request
ENOUGH = 100  # keys after which nothing waits any longer
WAIT = 2.0  # seconds until a batch is removed
log = logging.getLogger("onward")


async def remove_keys(client: S3Client, names: list[str]) -> None:
    """Remove objects, whether they exist or not."""
    for start in range(0, len(names), AT_ONCE):
        objects = [{"Key": client.key(name)} for name in names[start : start + AT_ONCE]]
        await client.call("delete_objects", Delete={"Objects": objects, "Quiet": True})


async def tails_of(client: S3Client, id: UploadId) -> list[str]:
    """Return the keys of all tails of an upload."""
    return [found.name async for found in client.listed(f"tails/{id}.")]


class Garbage:
    """Keys whose objects are to be removed."""

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._names: list[str] = []
        self._ids: list[UploadId] = []
        self._flushing: asyncio.Task[None] | None = None

    def add(self, *names: str) -> None:
        """Remove these objects later."""
        self._names += names
        if names:
            self._wake()

    def add_all_of(self, id: UploadId) -> None:
        """Remove all tails of an upload, and its private object, later."""
        self._ids.append(id)
        self._wake()

    async def flush(self) -> None:
        """Remove everything that waits now; what can't be removed is left to the sweep."""
        names, ids = self._names, self._ids
        self._names, self._ids = [], []
        try:
            for id_ in ids:
                names += [f"partial/{id_}", *await tails_of(self._client, id_)]
            await remove_keys(self._client, list(dict.fromkeys(names)))
        except StorageError as fault:
            log.warning("some objects can't be removed; the sweep removes them: %s", fault)

    async def close(self) -> None:
        """Remove what still waits; gives up after WAIT."""
        if self._flushing is not None:
            self._flushing.cancel()
            await uncancellable(asyncio.wait({self._flushing}))
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT):
                await self.flush()

    def _wake(self) -> None:
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.ensure_future(self._flush_later())

    async def _flush_later(self) -> None:
        for _ in range(20):
            if len(self._names) + len(self._ids) >= ENOUGH:
                break
            await asyncio.sleep(WAIT / 20)
        while self._names or self._ids:
            await self.flush()
