"""Which servers are alive on a data folder: each holds a lock as long as it lives, also while it is stopped."""

import fcntl
import os
import secrets
from pathlib import Path

from onward.storage.base import Unreachable

_MODE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Nodes:
    """The servers of a data folder; `shared` lets several be."""

    def __init__(self, root: Path, *, shared: bool) -> None:
        self.name = secrets.token_hex(8)
        self._root, self._folder = root, root / "nodes"
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
                self.is_dead(path.name)

    def _lock(self) -> int:
        """Lock the file of this server; another that starts may take it for a dead one's until then, and away."""
        path = self._folder / self.name
        while True:
            fd = os.open(path, _MODE, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            if _is_at(path, fd):
                return fd
            os.close(fd)

    def is_dead(self, name: str) -> bool:
        """Tell whether a server can't do anything any more; whoever is dead leaves no file behind."""
        path = self._folder / name
        while True:
            try:
                fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                self._check_own()
                return True
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(path, fd):  # another may have removed it, and who starts have made and locked a new one
                    path.unlink()
                    return True
            except BlockingIOError:
                return False
            finally:
                os.close(fd)

    def _check_own(self) -> None:
        """Look whether the folder of the locks is still there: without it nobody is known to be dead."""
        if not _is_at(self._folder / self.name, self._own_lock):
            raise Unreachable("nodes/ is another folder than it was")

    def check(self) -> None:
        """Look whether the folder is still the one that was locked; raises Unreachable."""
        try:
            same = _is_at(self._root / "lock", self._root_lock)
        except OSError as error:
            raise Unreachable(f"the data folder can't be looked at ({error.strerror})") from error
        if not same:
            raise Unreachable("the data folder is another folder than it was")

    def close(self) -> None:
        """Be no server of this folder any more."""
        (self._folder / self.name).unlink(missing_ok=True)
        os.close(self._own_lock)
        os.close(self._root_lock)


def _is_at(path: Path, fd: int) -> bool:
    """Tell whether a path is still that of an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False
