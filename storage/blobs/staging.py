"""Publishing a file at a path that a layout has made: staged, recorded, and only then given its name.

    stage    cut to length, token, sync (on another file system: copy to files/.ID first)     places.py
    record   the place, with the token and the path
    seal     link at the first free path  ->  sync its folders  ->  remove the other name  ->  sync that folder

A link never overwrites, so of several uploads that want one path, on any node, one gets it and the others go on to
their next one. After a crash in the middle, the file is known by its token, wherever it is. Folders that become empty
stay: to remove one would race with an upload that is about to be published in it. Called by disk.py.
"""

import errno
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from onward.protocol.model import Place
from onward.storage.base import Missing, Modes, Stale, Unreachable
from onward.storage.blobs.disk_probe import are_apart
from onward.storage.blobs.files import closed, copy, exists, move, open_regular
from onward.storage.blobs.places import UNUSABLE, Parts, candidates, is_own, parts, published_at, token
from onward.storage.blobs.publishing import Publishing
from onward.storage.failpoints import reach
from onward.storage.running.threads import Threads

# The errors of a name that is taken, or that can't be used, perhaps because a file is where a folder is needed.
_TAKEN = UNUSABLE - {errno.ENOENT} | {errno.EEXIST, errno.EXDEV, errno.EISDIR}


class Staging:
    """Stages, publishes and removes the files of one data folder that have a path of their own."""

    def __init__(
        self,
        root: Path,
        pool: Threads,
        publishing: Publishing,
        *,
        open_: Callable[[Path, int, int], int],
        check_folder: Callable[[], None],
        sync_folder: Callable[[Path], None],
        modes: Modes,
    ) -> None:
        self._root, self._files, self._pool, self._publishing = root, root / "files", pool, publishing
        self._open, self._check_folder, self._sync_folder, self._modes = open_, check_folder, sync_folder, modes
        self._apart: bool | None = None  # whether files/ is on another file system; None before that was tried
        self._durable: set[Path] = set()  # folders below files/ whose names are durable

    async def stage(
        self,
        place: Place,
        length: int,
        path: str,
        holds: Callable[[], bool],
        *,
        acknowledged: bool,
        check: Callable[[], None],
    ) -> Place:
        """Make a file ready to be published at a path; raises Missing, Stale and what `check` raises."""
        arriving = parts(place)
        unfinished, own = self._root / arriving.where, self._files / arriving.id
        if arriving.token or unfinished == own:
            return place
        if await self._pool.call(self._is_published, unfinished, own, length):
            return Parts(f"files/{arriving.id}").place()
        if self._apart is None:
            self._apart = await self._pool.call(are_apart, unfinished.parent, self._files)
        mark = await self._pool.call(self._mark, unfinished, length, holds, acknowledged)
        where = arriving.where
        if self._apart:
            copied = own.with_name(f".{own.name}")
            mark = await self._publishing.copy_to(
                unfinished, copied, length, holds, check=check, protect=self._publishing.mark
            )
            await self._pool.call(self._sync_folder, self._files)
            where = f"files/{copied.name}"
        return Parts(where, mark, path).place()

    def _is_published(self, unfinished: Path, own: Path, length: int) -> bool:
        """Return whether a file has its own name already: it got that before there was a layout."""
        if exists(unfinished) or not exists(own):
            return False
        os.close(open_regular(own, os.O_RDONLY, length))
        return True

    def _mark(self, unfinished: Path, length: int, holds: Callable[[], bool], acknowledged: bool) -> str:
        self._check_folder()
        fd = self._open(unfinished, 0 if length else os.O_CREAT, length)
        mark = self._publishing.finish(fd, unfinished, length, acknowledged, self._publishing.mark)
        if not length:  # the file may be new
            self._sync_folder(unfinished.parent)
        reach("staged")
        if not holds():
            raise Stale(unfinished.name)
        own = self._files / unfinished.name
        if exists(own):  # published as {id}, not recorded (a crash), and then joined again from its parts
            own.unlink()
            self._sync_folder(self._files)
        return mark

    def seal(self, staged: Parts, holds: Callable[[], bool]) -> Place:
        """Publish a staged file, and return its final place; called in a thread. Raises Missing and Stale."""
        self._check_folder()
        source = self._root / staged.where
        path = published_at(self._files, staged)
        if path is None:
            try:
                path = self._publish(source, staged, holds)
            except Missing:  # unless a former holder of the lease has published it at this very moment
                if (path := published_at(self._files, staged)) is None:
                    raise
        self._sync_path(self._files / path)
        if not holds():  # another node may have fenced the file, and be working with it
            raise Stale(staged.id)
        for name in {source, self._root / "partial" / staged.id}:
            name.unlink(missing_ok=True)
            self._sync_folder(name.parent)  # also if a crash came between the two
        reach("sealed")
        return Parts(f"files/{path}", "" if path == staged.id else staged.token).place()

    def _publish(self, source: Path, staged: Parts, holds: Callable[[], bool]) -> str:
        """Give a file the first of its names that is free, and return that."""
        if not is_own(source, staged.token):
            raise (Stale if exists(source) else Missing)(f"{source.name} is not the file that was staged")
        reach("sealing")
        for path in candidates(staged.path, staged.id):
            if not holds():
                raise Stale(staged.id)
            try:
                self._make_folders((self._files / path).parent)
                os.link(source, self._files / path, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _TAKEN:
                    raise
                continue
            reach("renamed")
            return path
        raise Unreachable(f"files/ has another file of the name {staged.id}")

    def _make_folders(self, folder: Path) -> None:
        """Make the folders of a path, with the mode of the configuration."""
        if folder == self._files or folder.is_dir():
            return
        self._make_folders(folder.parent)
        with suppress(FileExistsError):  # by another upload, or a file, which the link finds
            folder.mkdir(mode=self._modes.folder)
            folder.chmod(self._modes.folder)
        self._durable.discard(folder)

    def _sync_path(self, file: Path) -> None:
        """Make the name of a file durable, and those of the folders on its way that may be new."""
        self._sync_folder(file.parent)
        for folder in file.parents:
            if folder == self._files or folder in self._durable:
                return
            self._sync_folder(folder.parent)
            self._durable.add(folder)

    def find(self, place: Parts) -> Path:
        """Return where the file of a staged or published place is now; raises Missing if it is gone."""
        if not place.path:
            file = self._root / place.where
            if is_own(file, place.token):
                return file
        elif is_own(file := self._root / place.where, place.token):
            return file
        elif (path := published_at(self._files, place)) is not None:
            return self._files / path
        raise Missing(f"{place.where} is not there any more, or is another file")

    def open_to_read(self, place: Parts, length: int) -> int:
        """Open the file of a staged or published place; raises Missing."""
        fd = open_regular(self.find(place), os.O_RDONLY, length)
        if token(os.fstat(fd)) != place.token:  # another file has got its name meanwhile
            os.close(fd)
            raise Missing(f"{place.where} is another file now")
        return fd

    def fence(self, staged: Parts, holds: Callable[[], bool]) -> Place:
        """Replace a staged file by a copy, so that a suspended node has only the old one. Raises Stale."""
        file = self.find(staged)
        path = published_at(self._files, staged)
        if path is not None and file == self._root / staged.where:  # it has both names
            if not holds():
                raise Stale(staged.id)
            file.unlink()
            file = self._files / path
        folder = self._files if path is not None else file.parent
        fresh = folder / f".{staged.id}-{secrets.token_hex(4)}"
        copy(file, fresh, file.stat().st_size, self._modes.file)
        fd = os.open(fresh, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with closed(fd):
            mark = self._publishing.mark(fd)
        reach("fencing")
        move(fresh, file, holds)
        return Parts(staged.where, mark, staged.path).place()

    def remove(self, place: Parts) -> None:
        """Remove the file of a staged or published place, but no other file that has got its name meanwhile."""
        names = [] if not place.path else [self._root / place.where, self._root / "partial" / place.id]
        for name in names:  # first, so that a suspended node can't publish it any more
            name.unlink(missing_ok=True)
            self._sync_folder(name.parent)
        try:
            file = self.find(place)
        except Missing:
            return
        file.unlink(missing_ok=True)
        reach("removed")
        self._sync_folder(file.parent)
