"""Bytes in a local folder: `partial/` while they arrive, `files/` once they are published.

Written unbuffered and by position, through aiofiles; a place is a relative path made of the upload's own id.
"""

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from stat import S_ISREG
from typing import TypeVar, TypeVarTuple, Unpack

import aiofiles

from protocol.model import Place, UploadId
from storage.base import Block, Durability, Full, Missing, StorageError, Unreachable
from storage.failpoints import reach
from storage.group_sync import GroupSync
from storage.unbroken import unbroken

Words = TypeVarTuple("Words")
Result = TypeVar("Result")

READ_BLOCK = 2**20
SCAN_BLOCK = 2**18
STEP = 2**26  # bytes between two looks for an interruption
THREADS = 8
PROBE = 4096
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_NOT_IN_KERNEL = frozenset({errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})


@contextmanager
def _mapped() -> Iterator[None]:
    """Turn the system's errors into those of the seam."""
    try:
        yield
    except FileNotFoundError as error:
        raise Missing(str(error)) from error
    except OSError as error:
        raise (Full if error.errno in _FULL else Unreachable)(str(error)) from error


async def _run(pool: ThreadPoolExecutor, call: Callable[[Unpack[Words]], Result], *words: *Words) -> Result:
    """Call what blocks in a thread, to its end."""
    return await unbroken(asyncio.get_running_loop().run_in_executor(pool, call, *words))


def _write_all(fd: int, block: Block, at: int) -> None:
    rest = memoryview(block)
    while rest:
        count = os.pwrite(fd, rest, at)
        rest, at = rest[count:], at + count


def _copy(source: int, target: int, count: int, start: int, at: int) -> int:
    """Copy some bytes inside the kernel, shared where the file system can; through memory where it can't."""
    try:
        return os.copy_file_range(source, target, count, start, at)
    except OSError as error:
        if error.errno not in _NOT_IN_KERNEL:
            raise
    block = os.pread(source, min(count, READ_BLOCK), start)
    _write_all(target, block, at)
    return len(block)


def _scan(fd: int, start: int, stop: int, take: Callable[[Block], None]) -> int:
    """Give the bytes [start, stop) in blocks that stay in the processor's cache."""
    block = memoryview(bytearray(SCAN_BLOCK))
    while start < stop:
        count = os.preadv(fd, [block[: stop - start]], start)
        if not count:
            raise Missing(f"the bytes end at {start}, before {stop}")
        take(block[:count])
        start += count
    return stop


def _open_regular(path: Path, flags: int, at_least: int) -> int:
    """Open a file of ours: neither a link, nor a pipe to wait at, nor, for writing, known by a second name."""
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    stat = os.fstat(fd)
    try:
        if not S_ISREG(stat.st_mode) or stat.st_size < at_least:
            raise Missing(f"{path.name} holds less than {at_least} bytes")
        if flags & os.O_RDWR and stat.st_nlink != 1:
            raise Unreachable(f"{path.name} has a second name")
    except StorageError:
        os.close(fd)
        raise
    return fd


class DiskSink:
    """An open file on its way."""

    def __init__(self, fd: int, pool: ThreadPoolExecutor, sync: Callable[[int], Awaitable[None]]) -> None:
        self.fd = fd
        self._pool, self._sync = pool, sync

    async def write(self, block: Block, at: int) -> None:
        """Write the whole block at a position; a short write is finished."""
        with _mapped():
            await _run(self._pool, _write_all, self.fd, block, at)
        reach("written")

    async def sync(self) -> None:
        """Make durable what was written."""
        with _mapped():
            await self._sync(self.fd)
        reach("synced")


class DiskBlobs:
    """Bytes in a local folder."""

    def __init__(self, root: Path, durability: Durability = Durability.FULL) -> None:
        self._root = root.resolve()
        self._durability = durability
        self._pool = ThreadPoolExecutor(THREADS, "disk")
        self._group = GroupSync(partial(_run, self._pool))
        with _mapped():
            self._root.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self._root, self._root / "partial", self._root / "files"):
                folder.mkdir(mode=0o700, exist_ok=True)
            self._sync_folder(self._root)

    def _sync_folder(self, folder: Path) -> None:
        if self._durability is Durability.NONE:
            return
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    async def _sync_file(self, fd: int) -> None:
        if self._durability is Durability.GROUP:
            await unbroken(self._group.sync(fd))
        elif self._durability is not Durability.NONE:
            await _run(self._pool, os.fdatasync, fd)

    async def create(self, id: UploadId) -> Place:
        """Mint a place; the file is made with its first byte."""
        return Place(f"partial/{id}")

    @asynccontextmanager
    async def open(self, place: Place, at: int) -> AsyncIterator[DiskSink]:
        """Open a place that holds at least `at` bytes."""
        with _mapped():
            fd = await _run(self._pool, self._open, self._root / place, at)
        try:
            yield DiskSink(fd, self._pool, self._sync_file)
        finally:
            with _mapped():
                os.close(fd)

    def _open(self, path: Path, at: int) -> int:
        if at or path.exists():
            return _open_regular(path, os.O_RDWR, at)
        fd = _open_regular(path, os.O_RDWR | os.O_CREAT, 0)
        if not self._durability.relaxed:
            self._sync_folder(path.parent)
        return fd

    async def read(self, place: Place, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Give the bytes [start, stop) in blocks of 1 MiB."""
        with _mapped():
            fd = await _run(self._pool, self._open_to_read, place)
            async with aiofiles.open(fd, "rb", buffering=0, executor=self._pool) as file:
                await file.seek(start)
                while start < stop:
                    block = await file.read(min(READ_BLOCK, stop - start))
                    if not block:
                        raise Missing(f"{place} ends at {start}, before {stop}")
                    start += len(block)
                    yield block

    def _open_to_read(self, place: Place) -> int:
        path = self._root / place
        try:
            return _open_regular(path, os.O_RDONLY, 0)
        except FileNotFoundError:
            return _open_regular(self._root / "files" / path.name, os.O_RDONLY, 0)

    async def scan(
        self, place: Place, length: int, take: Callable[[Block], None], *, fresh: bool = False
    ) -> AsyncGenerator[int, None]:
        """Call `take` with the first bytes in order."""
        with _mapped():
            fd = await _run(self._pool, self._open_to_read, place)
            try:
                if fresh:  # pages whose writing back has failed count as clean, and would tell what the disk hasn't got
                    await _run(self._pool, os.posix_fadvise, fd, 0, 0, os.POSIX_FADV_DONTNEED)
                at = 0
                while at < length:
                    at = await _run(self._pool, _scan, fd, at, min(at + STEP, length), take)
                    yield at
            finally:
                os.close(fd)

    async def join(self, place: Place, parts: Sequence[tuple[Place, int]]) -> AsyncGenerator[int, None]:
        """Fill a place with the first bytes of each part."""
        at = 0
        async with self.open(place, 0) as sink:
            for part, length in parts:
                with _mapped():
                    source = await _run(self._pool, _open_regular, self._root / part, os.O_RDONLY, length)
                    try:
                        start = 0
                        while start < length:
                            count = min(STEP, length - start)
                            copied = await _run(self._pool, _copy, source, sink.fd, count, start, at)
                            if not copied:
                                raise Missing(f"{part} ends at {start}, before {length}")
                            start, at = start + copied, at + copied
                            yield at
                    finally:
                        os.close(source)
            await sink.sync()  # here beside the hashing, so that sealing has nothing to wait for

    async def seal(self, place: Place, length: int) -> Place:
        """Publish exactly `length` bytes under files/."""
        final = Place(f"files/{Path(place).name}")
        with _mapped():
            await _run(self._pool, self._seal, self._root / place, self._root / final, length)
        return final

    def _seal(self, unfinished: Path, final: Path, length: int) -> None:
        if final.exists() and not unfinished.exists():
            os.close(_open_regular(final, os.O_RDONLY, length))
            self._sync_folder(final.parent)
            return
        fd = _open_regular(unfinished, os.O_RDWR | (0 if length else os.O_CREAT), length)
        try:
            os.ftruncate(fd, length)
            os.fchmod(fd, 0o440)
            if self._durability is not Durability.NONE:
                os.fsync(fd)
        finally:
            os.close(fd)
        reach("sealing")
        unfinished.rename(final)
        reach("renamed")
        self._sync_folder(final.parent)
        self._sync_folder(unfinished.parent)
        reach("sealed")

    async def room(self) -> int | None:
        """Give the bytes that are free to this user."""
        with _mapped():
            free = await _run(self._pool, os.statvfs, self._root)
        return free.f_bavail * free.f_frsize

    async def probe(self) -> None:
        """Write, sync and remove a small file."""
        with _mapped():
            await _run(self._pool, self._probe)

    def _probe(self) -> None:
        probe = self._root / "partial" / f".probe-{os.getpid()}"
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            _write_all(fd, bytes(PROBE), 0)
            if self._durability is not Durability.NONE:
                os.fdatasync(fd)
        finally:
            os.close(fd)
            probe.unlink(missing_ok=True)

    async def sync(self, place: Place) -> None:
        """Make durable all bytes of a place, and its name."""
        with _mapped():
            await _run(self._pool, self._sync_place, self._root / place)

    def _sync_place(self, path: Path) -> None:
        fd = _open_regular(path, os.O_RDWR, 0)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        self._sync_folder(path.parent)

    async def remove(self, place: Place) -> None:
        """Remove a place, published or not."""
        with _mapped():
            await _run(self._pool, self._remove, self._root / place)

    def _remove(self, path: Path) -> None:
        for folder in ("partial", "files"):
            (self._root / folder / path.name).unlink(missing_ok=True)
            self._sync_folder(self._root / folder)

    async def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown()


async def open_blobs(_url: str, data: Path, durability: Durability) -> DiskBlobs:
    """Open the data folder, made at need."""
    return DiskBlobs(data, durability)
