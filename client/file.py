"""A file that is being sent: read by position, its SHA-256 running beside.

One thread does both, so that each byte is read once where the bytes are sent in order. What was sent by a process
before this one, or out of order, is read for the SHA-256 alone, beside the sending.
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

from onward.client.answers import readable
from onward.client.errors import FileChanged, UploadError

BLOCK = 2**20
STEP = 4 * BLOCK  # read at once for the SHA-256 alone; a block to send waits for no longer than that takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What makes a file the same one that it was."""

    path: str
    size: int
    mtime_ns: int
    inode: int


def identity(path: Path, status: os.stat_result) -> Identity:
    """Give the identity of a file."""
    return Identity(path=readable(str(path)), size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino)


class File:
    """An open file, and the SHA-256 of its bytes up to some position."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.identity = identity(path.resolve(), os.fstat(fd))
        self._fd = fd
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="onward-file")
        self._sha256 = hashlib.sha256()
        self._hashed = self._loaded = 0
        self._chasing: asyncio.Task[None] | None = None

    @property
    def size(self) -> int:
        """Give the size that the file had when it was opened."""
        return self.identity.size

    async def blocks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Give the bytes [start, stop), the next block read while one is used; raises UploadError."""
        loop = asyncio.get_running_loop()
        if start > self._hashed and self._chasing is None:
            self._loaded = max(self._loaded, start)
            self._chasing = asyncio.create_task(self._chase())
            self._chasing.add_done_callback(_seen)
        ahead = loop.run_in_executor(self._thread, self._load, start, stop)
        while start < stop:
            block = await ahead
            start += len(block)
            if start < stop:
                ahead = loop.run_in_executor(self._thread, self._load, start, stop)
            yield block

    async def sha256(self) -> bytes:
        """Give the SHA-256 of the whole file, once all of it is read; raises UploadError."""
        if self._chasing is not None:
            await self._chasing
        self._loaded = self.size
        await self._chase()
        return self._sha256.digest()

    def check_unchanged(self) -> None:
        """Make sure that the file is still the one that was opened; raises FileChanged."""
        if identity(Path(self.identity.path), os.fstat(self._fd)) != self.identity:
            raise FileChanged(f"{self.path} was changed while it was sent")

    async def _chase(self) -> None:
        """Read for the SHA-256 up to where bytes were loaded; from there on it runs with them."""
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
        """Let go of the thread and the file."""
        if self._chasing is not None:
            self._chasing.cancel()
        self._thread.shutdown(cancel_futures=True)
        os.close(self._fd)


def _seen(chase: asyncio.Task[None]) -> None:
    """Keep a fault from being told as lost: who asks for the SHA-256 gets it, and nobody asks once sending failed."""
    if not chase.cancelled():
        chase.exception()


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
            f"{path} is a folder, and only files can be uploaded" if is_folder else f"{path} is no regular file"
        )
    file = File(path, fd)
    try:
        yield file
    finally:
        file.close()
