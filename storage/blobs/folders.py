"""The folders inside a data folder: created at the start, and checked later to be still the same ones.

If a volume is not mounted, or a network share went away, its mount point is an empty folder. The bytes seem to be
missing then, but they are not lost, and an upload must not be failed for that. So nothing is reported as Missing before
it is certain that the folders are those of the start, by their device and inode numbers. Called by disk.py, backups.py.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from onward.storage.base import Missing, Room, Unreachable
from onward.storage.blobs.files import Mapped, mapped

VOLUMES = "volumes"  # the file with the names of the folders that are on a file system of their own


class Folders:
    """The data folder and the folders in it; the constructor raises Unreachable if one of them is not mounted."""

    def __init__(self, root: Path, names: Sequence[str], sync: Callable[[Path], None]) -> None:
        self.root, self._names, self._sync = root, names, sync
        self._paths = {name: str(root / name) for name in names}
        with mapped():
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in names:
                (root / name).mkdir(mode=0o700, exist_ok=True)
            self._check_volumes()
            sync(root)
            self._known = {name: self._identity(name) for name in names}
        for folder in root.parents:  # any of them may be new: from now, or from a start that crashed before this
            with suppress(OSError):
                sync(folder)

    def mapped(self) -> "MappedBelow":
        """Turn errors into those of the seam; Missing becomes Unreachable if a folder is not mounted."""
        return MappedBelow(self)

    def check(self, *names: str) -> None:
        """Check that the named folders (or all of them) are those of the start; raises Unreachable.

        Called also before a file is created: below an empty mount point it would vanish with the next mount.
        """
        for name in names or self._names:
            try:
                same = self._identity(name) == self._known[name]
            except OSError as error:
                raise Unreachable(f"{name}/ can't be looked at: {error.strerror}") from error
            if not same:
                raise Unreachable(f"{name}/ is another folder than it was at the start; is it mounted?")

    def room(self) -> Room:
        """Return the free bytes that this user may use; blocks, so it is called in a thread."""
        arriving, published = (self.root / name for name in self._names[:2])
        free = _free(arriving)
        apart = os.stat(arriving).st_dev != os.stat(published).st_dev
        return Room(arriving=free, published=_free(published) if apart else None)

    def _identity(self, name: str) -> tuple[int, int]:
        found = os.stat(self._paths[name])
        return found.st_dev, found.st_ino

    def _check_volumes(self) -> None:
        """Remember which folders are on a file system of their own; raises Unreachable if one no longer is."""
        device = os.stat(self.root).st_dev
        own = [name for name in self._names if os.stat(self.root / name).st_dev != device]
        path = self.root / VOLUMES
        with suppress(FileNotFoundError):
            for name in set(path.read_text().split()) - set(own):
                raise Unreachable(
                    f"{self.root / name} was on a file system of its own, and is not now; is it mounted? "
                    f"Remove {path} if its files were moved"
                )
        if own:
            path.write_text("\n".join(own))
            self._sync(self.root)


class MappedBelow(Mapped):
    """Turns errors into those of the seam, for the files in these folders."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Raise the error of the seam; raises Unreachable rather than Missing if a folder is not mounted."""
        if isinstance(error, FileNotFoundError | Missing):
            self._folders.check()
        super().__exit__(kind, error, traceback)


def _free(folder: Path) -> int:
    free = os.statvfs(folder)
    return free.f_bavail * free.f_frsize
