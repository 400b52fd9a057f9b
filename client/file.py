"""The file that is uploaded: its bytes by position, and its SHA-256.

One thread reads and hashes. Bytes that are sent in order are therefore read only once. Bytes that an earlier process
has sent, or that are sent out of order, are read a second time for the SHA-256, while others are sent:

    0 ─────── hashed ─────── loaded ─────── size
              └ _catch_up ──┘  once they meet, each block is hashed as it is read to be sent
"""

import asyncio
import hashlib
import os
import stat
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onward.client.errors import FileChanged, UploadError
from onward.client.text import readable

BLOCK = 2**20  # bytes that are read at once to be sent
STEP = 4 * BLOCK  # bytes that are read at once for the SHA-256 alone; a block to send waits at most for one step


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What must be equal for a file to count as unchanged."""

    path: str
    size: int
    mtime_ns: int
    inode: int


def identity(path: Path, status: os.stat_result) -> Identity:
    """Return the identity of a file."""
    return Identity(path=readable(str(path)), size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino)


def place_of(path: Path) -> Path:
    """Return where a file is: its folder without links, and its own name there, which may be that of a link."""
    return Path(os.path.realpath(path.parent)) / path.name  # Path.resolve may raise an error for a circle of links


class File:
    """An open file, and the SHA-256 of its bytes up to some position."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.identity = identity(place_of(path), os.fstat(fd))
        self._fd = fd
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="onward-file")
        self._sha256 = hashlib.sha256()
        self._hashed = self._loaded = 0
        self._catching_up: asyncio.Task[None] | None = None

    @property
    def size(self) -> int:
        """Return the size that the file had when it was opened."""
        return self.identity.size

    async def blocks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes [start, stop) and read the next block meanwhile; raises UploadError."""
        loop = asyncio.get_running_loop()
        if start > self._hashed and self._catching_up is None:
            self._loaded = max(self._loaded, start)
            self._catching_up = asyncio.create_task(self._catch_up())
            self._catching_up.add_done_callback(_mark_seen)
        ahead = loop.run_in_executor(self._thread, self._load, start, stop)
        while start < stop:
            block = await ahead
            start += len(block)
            if start < stop:
                ahead = loop.run_in_executor(self._thread, self._load, start, stop)
            yield block

    async def sha256(self) -> bytes:
        """Return the SHA-256 of the whole file, once all of it is read; raises UploadError."""
        if self._catching_up is not None:
            await self._catching_up
        self._loaded = self.size
        await self._catch_up()
        return self._sha256.digest()

    def check_unchanged(self) -> None:
        """Check that the file is still the one that was opened; raises FileChanged."""
        if identity(Path(self.identity.path), os.fstat(self._fd)) != self.identity:
            raise FileChanged(f"{self.path} was changed while it was sent")

    async def _catch_up(self) -> None:
        """Hash up to where bytes were loaded; from there on each block is hashed as it is loaded."""
        loop = asyncio.get_running_loop()
        while self._hashed < self._loaded:
            await loop.run_in_executor(self._thread, self._step)

    def _step(self) -> None:
        if self._hashed < self._loaded:
            self._feed(self._hashed, self._read(self._hashed, min(self._loaded, self._hashed + STEP)))

    def _load(self, start: int, stop: int) -> bytes:
        block = self._read(start, min(stop, start + BLOCK))
        self._loaded = max(self._loaded, start + len(block))
        self._feed(start, block)
        return block

    def _feed(self, start: int, block: bytes) -> None:
        if start <= self._hashed < start + len(block):
            self._sha256.update(memoryview(block)[self._hashed - start :])
            self._hashed = start + len(block)

    def _read(self, start: int, stop: int) -> bytes:
        try:
            block = os.pread(self._fd, stop - start, start)
        except OSError as error:
            raise UploadError(f"{self.path} can't be read: {error.strerror}") from error
        if not block:
            raise FileChanged(f"{self.path} became shorter while it was sent")
        return block

    def close(self) -> None:
        """Stop the thread and close the file."""
        if self._catching_up is not None:
            self._catching_up.cancel()
        self._thread.shutdown(cancel_futures=True)
        os.close(self._fd)


def _mark_seen(catching_up: asyncio.Task[None]) -> None:
    """Keep asyncio from logging that nobody saw the exception: `sha256` raises it, unless sending failed before."""
    if not catching_up.cancelled():
        catching_up.exception()


@contextmanager
def opened(path: Path) -> Iterator[File]:
    """Open a file to send it; raises UploadError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe would wait for its writer
    except OSError as error:
        raise UploadError(f"{path} can't be read: {error.strerror}") from error
    kind = os.fstat(fd).st_mode
    if not stat.S_ISREG(kind):
        os.close(fd)
        is_folder = stat.S_ISDIR(kind)
        raise UploadError(
            f"{path} is a folder, and only files can be uploaded" if is_folder else f"{path} is not a regular file"
        )
    file = File(path, fd)
    try:
        yield file
    finally:
        file.close()
