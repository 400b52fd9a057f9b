"""Reading from the local folder: downloads, descriptors for the kernel, and scans for a hash. A part of disk.py."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import aiofiles

from onward.protocol.model import Place
from onward.storage.base import Block, Missing
from onward.storage.blobs.files import READ_BLOCK, open_regular, opened, scan
from onward.storage.blobs.fixed import FixedPlaces
from onward.storage.blobs.places import parts
from onward.storage.blobs.publishing import STEP
from onward.storage.blobs.staging import Staging
from onward.storage.running.threads import Threads


class DiskReader(FixedPlaces):
    """The reading half of DiskBlobs, which inherits it and has the attributes that it uses."""

    _root: Path
    _pool: Threads
    _slow: Threads
    _staging: Staging
    _mapped: Callable[[], AbstractContextManager[None]]

    async def read(self, place: Place, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes [start, stop) in blocks; raises Missing."""
        if start == stop:  # there may be no file
            return
        with self._mapped():
            fd = await opened(self._pool, self._open_to_read, place)
            async with aiofiles.open(fd, "rb", buffering=0) as file:
                await file.seek(start)
                while start < stop:
                    block = await file.read(min(READ_BLOCK, stop - start))
                    if not block:
                        raise Missing(f"{place} ends at {start}, before {stop}")
                    start += len(block)
                    yield block

    @asynccontextmanager
    async def file(self, place: Place, length: int) -> AsyncIterator[int]:
        """Open a descriptor of a place; raises Missing."""
        with self._mapped():
            fd = await opened(self._pool, self._open_to_read, place, length)
        try:
            yield fd
        finally:
            os.close(fd)

    def _open_to_read(self, place: Place, length: int = 0) -> int:
        if (taken := parts(place)).token:
            return self._staging.open_to_read(taken, length)
        path = self._root / place
        try:
            return open_regular(path, os.O_RDONLY, length)
        except FileNotFoundError:
            return open_regular(self._root / "files" / path.name, os.O_RDONLY, length)

    async def scan(
        self, place: Place, length: int, take: Callable[[Block], None], *, fresh: bool = False
    ) -> AsyncGenerator[int, None]:
        """Call `take` with the first `length` bytes in a thread; raises Missing."""
        with self._mapped():
            fd = await opened(self._pool, self._open_to_read, place)
            try:
                if fresh:  # after a failed write, the page cache may show bytes that the disk does not have
                    await self._pool.call(os.posix_fadvise, fd, 0, 0, os.POSIX_FADV_DONTNEED)
                at = 0
                while at < length:
                    at = await self._slow.call(scan, fd, at, min(at + STEP, length), take)
                    yield at
            finally:
                os.close(fd)
