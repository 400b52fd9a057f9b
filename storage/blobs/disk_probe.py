"""Checks that files can be stored and published: tried with a small file, which is removed again.

Called for /readyz (`DiskBlobs.probe`, `DiskBackups.probe`), and before the first join, to see if blocks can be shared.
"""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from onward.storage.base import Full, StorageError, Unreachable
from onward.storage.blobs.files import FULL, closed, exists, write_all

SIZE = BLOCK = 4096  # bytes; the blocks of file systems are not larger in practice
FICLONE = 0x40049409  # Linux: let a file share the blocks of another


def probe_storing(folder: Path, *, synced: bool) -> None:
    """Write, sync and remove a small file; raises Full or Unreachable."""
    small = folder / _name()
    try:
        _write(small, synced)
    finally:
        _remove(small)


def probe_publishing(partial: Path, files: Path, *, synced: bool) -> None:
    """Write and sync a small file in one folder, publish it into the other and remove it.

    Raises Full or Unreachable. If the disk is full, publishing is still tried, because it needs no room.
    """
    small = partial / _name()
    published = files / small.name
    full: StorageError | None = None
    try:
        try:
            _write(small, synced)
        except Full as fault:
            full = fault
        with _named(f"{files.name}/ takes no published file"):
            if exists(small) and not _renamed(small, published):
                _write(published, synced)
    finally:
        _remove(small)
        _remove(published)
    if full:
        raise full


def can_share(folder: Path) -> bool:
    """Return whether a copy of a file can share the blocks of the original, as on XFS and btrfs; raises OSError."""
    source = folder / _name()
    target = folder / _name()
    try:
        _write(source, synced=False)
        with source.open("rb") as whole, target.open("xb") as shared:
            try:
                fcntl.ioctl(shared, FICLONE, whole.fileno())
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EXDEV):
                    raise
                return False
        return True
    finally:
        _remove(source)
        _remove(target)


def are_apart(partial: Path, files: Path) -> bool:
    """Return whether two folders are on different file systems; raises Full, Unreachable and OSError."""
    small = partial / _name()
    published = files / small.name
    try:
        _write(small, synced=False)
        return not _renamed(small, published)
    finally:
        _remove(small)
        _remove(published)


def _name() -> str:
    return f".probe-{secrets.token_hex(8)}"


def _write(path: Path, synced: bool) -> None:
    with _named(f"{path.parent.name}/ can't be written to"):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with closed(fd):
            write_all(fd, bytes(SIZE), 0)
            if synced:
                os.fdatasync(fd)


def _renamed(small: Path, published: Path) -> bool:
    """Rename a file; returns False if the folders are on different file systems."""
    try:
        small.rename(published)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Turn an OSError into one that says in words what fails; it may be shown to anybody, so it has no path."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or "for an unknown reason").lower()
        raise (Full if error.errno in FULL else Unreachable)(f"{what} ({reason})") from error
