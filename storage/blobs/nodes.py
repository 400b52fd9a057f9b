"""Which servers are alive on a data folder.

Each server locks a file of its own (`nodes/NAME`, by flock) for as long as its process exists, also while the process
is suspended. The kernel releases the lock when the process dies. So if another server can lock that file, its owner is
certainly dead, and nothing needs to be fenced.
"""

import fcntl
import os
import secrets
from pathlib import Path

from onward.storage.base import ANYONE, Unreachable
from onward.storage.blobs.files import mapped
from onward.storage.running.threads import Threads

_MODE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class DiskNodes:
    """The servers of a data folder; `shared` allows several. The constructor raises Unreachable and OSError."""

    def __init__(self, root: Path, *, shared: bool) -> None:
        self.name = secrets.token_hex(8)
        self._root, self._folder = root.resolve(), root.resolve() / "nodes"
        self._pool = Threads(1, "nodes")
        self._root_lock = os.open(root / "lock", _MODE, 0o600)
        try:
            fcntl.flock(self._root_lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._root_lock)
            raise Unreachable(f"another process uses {root}") from None
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._own_lock = self._lock()
        for path in self._folder.iterdir():
            if path.name != self.name:
                self._is_dead(path.name)

    def _lock(self) -> int:
        """Create and lock the file of this server; until it is locked, another server may remove it as a dead one's."""
        path = self._folder / self.name
        while True:
            fd = os.open(path, _MODE, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if _is_at(path, fd):
                return fd
            os.close(fd)

    async def is_dead(self, name: str) -> bool:
        """Return whether a server is certainly dead. Raises Unreachable."""
        if name == ANYONE:
            return False
        with mapped():
            return await self._pool.call(self._is_dead, name)

    async def probe(self) -> None:
        """Check that the data folder is still the one that was locked; raises Unreachable."""
        with mapped():
            await self._pool.call(self._check)

    async def close(self) -> None:
        """Remove the file of this server and release its locks."""
        self._pool.shutdown()
        (self._folder / self.name).unlink(missing_ok=True)
        os.close(self._own_lock)
        os.close(self._root_lock)

    def _is_dead(self, name: str) -> bool:
        """Return whether a server is certainly dead; the file of a dead one is removed. Raises Unreachable."""
        path = self._folder / name
        while True:
            try:
                fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                self._check_own()
                return True
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(path, fd):  # otherwise the file was replaced meanwhile, by a server that is starting
                    path.unlink()
                    return True
            except BlockingIOError:
                return False
            finally:
                os.close(fd)

    def _check_own(self) -> None:
        """Check that nodes/ is still the same folder; otherwise a missing file does not mean that a server is dead."""
        if not _is_at(self._folder / self.name, self._own_lock):
            raise Unreachable("nodes/ is another folder than at the start")

    def _check(self) -> None:
        try:
            same = _is_at(self._root / "lock", self._root_lock)
        except OSError as error:
            raise Unreachable(f"the data folder can't be looked at ({error.strerror})") from error
        if not same:
            raise Unreachable("the data folder is another folder than at the start")


def _is_at(path: Path, fd: int) -> bool:
    """Return whether a path still leads to an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False
