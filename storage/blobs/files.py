"""The steps from which the work on the local folder is made: open, write, copy, move, sync.

Every write is a whole one, and only regular files are opened: no links, pipes or devices that somebody has planted.
Called by disk.py, publishing.py, backups.py and disk_probe.py, most of it in worker threads.
"""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import TypeVarTuple, Unpack

from onward.storage.base import Block, Full, Missing, Stale, StorageError, Unreachable
from onward.storage.running.threads import Threads

Arguments = TypeVarTuple("Arguments")

READ_BLOCK = 2**18
SCAN_BLOCK = 2**18
NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_NOT_IN_KERNEL = frozenset({errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})


class Mapped:
    """Turns OSError, and the lack of threads, into the errors of the seam; used in a `with`.

    Every block of a body passes through it, so it is a class without state, which costs less than a generator.
    """

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Raise Missing, Full or Unreachable in place of an error of the system."""
        if isinstance(error, FileNotFoundError):
            raise Missing(str(error)) from error
        if isinstance(error, OSError):
            raise (Full if error.errno in FULL else Unreachable)(str(error)) from error
        if isinstance(error, RuntimeError) and "start new thread" in str(error):  # an executor has no own class for it
            raise Unreachable(f"no thread can be started: {error}") from error


mapped = Mapped  # as a verb: `with mapped():`


def exists(path: Path) -> bool:
    """Return whether there is something at a path; raises OSError if that is uncertain, unlike Path.exists."""
    try:
        os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


async def opened(threads: Threads, call: Callable[[Unpack[Arguments]], int], *arguments: *Arguments) -> int:
    """Return the descriptor that a call in a thread opens; it is closed again if the task was cancelled meanwhile."""
    answer = threads.call(call, *arguments)
    try:
        return await answer
    except asyncio.CancelledError:
        if answer.exception() is None:
            os.close(answer.result())
        raise


@contextmanager
def closed(fd: int) -> Iterator[None]:
    """Close a descriptor at the end; an error in doing so does not replace an earlier one."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            os.close(fd)
        raise
    os.close(fd)


def write_all(fd: int, block: Block, at: int) -> None:
    """Write a whole block at a position, in several writes if the kernel takes less at a time."""
    rest = memoryview(block)
    while rest:
        count = os.pwrite(fd, rest, at)
        rest, at = rest[count:], at + count


def copy_some(source: int, target: int, count: int, start: int, at: int) -> int:
    """Copy some bytes and return how many: in the kernel, which may share the blocks, or else through memory."""
    try:
        if copied := os.copy_file_range(source, target, count, start, at):
            return copied
    except OSError as error:  # some file systems return 0 instead
        if error.errno not in _NOT_IN_KERNEL:
            raise
    block = os.pread(source, min(count, READ_BLOCK), start)
    write_all(target, block, at)
    return len(block)


def copy_up_to(source: int, target: int, at: int, stop: int) -> int:
    """Copy the bytes [at, stop) to the same positions; returns `stop`. Raises Missing if the source ends before."""
    while at < stop:
        copied = copy_some(source, target, stop - at, at, at)
        if not copied:
            raise Missing(f"the bytes end at {at}, before {stop}")
        at += copied
    return at


@contextmanager
def removed_on_failure(fresh: Path) -> Iterator[None]:
    """Remove an incomplete file after an error; otherwise it would take room until the clean-up finds it."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise


def copy(path: Path, fresh: Path, length: int, mode: int) -> None:
    """Copy the first bytes of a file to a new one, durably; raises Missing and OSError."""
    source = open_regular(path, os.O_RDONLY, length)
    with closed(source), removed_on_failure(fresh):
        target = open_regular(fresh, NEW, 0)
        with closed(target):
            copy_up_to(source, target, 0, length)
            os.fchmod(target, mode)
            os.fsync(target)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def move(fresh: Path, path: Path, holds: Callable[[], bool]) -> None:
    """Put a file in the place of another, durably. If the lease is lost, remove it and raise Stale."""
    with removed_on_failure(fresh):
        if not holds():
            raise Stale(path.name)
        fresh.rename(path)
    sync_folder(path.parent)


def scan(fd: int, start: int, stop: int, take: Callable[[Block], None]) -> int:
    """Call `take` with the bytes [start, stop), in blocks that fit into the processor's cache; raises Missing."""
    block = memoryview(bytearray(SCAN_BLOCK))
    while start < stop:
        count = os.preadv(fd, [block[: stop - start]], start)
        if not count:
            raise Missing(f"the bytes end at {start}, before {stop}")
        take(block[:count])
        start += count
    return stop


def open_regular(path: Path | str, flags: int, at_least: int) -> int:
    """Open one of our own files: a regular one, no link, and for writing one that has no second name.

    Raises OSError, Missing if it holds fewer than `at_least` bytes, and Unreachable for a second name.
    """
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    stat = os.fstat(fd)
    try:
        if not S_ISREG(stat.st_mode) or stat.st_size < at_least:
            raise Missing(f"{os.path.basename(path)} holds less than {at_least} bytes")
        if flags & os.O_RDWR and stat.st_nlink != 1:
            raise Unreachable(f"{os.path.basename(path)} has a second name")
    except StorageError:
        os.close(fd)
        raise
    return fd
