"""Short files of the local folder, stored and published in one call of one thread (see storage/base/short_files.py).

    check           the bytes are hashed and judged in memory
    partial/ID      written, read-only, synced; then its name is synced     it is the mark as well
    files/ID        a second name of the same file; then that name is synced
    (record)
    recorded        partial/ID is removed, together with those of other files, a moment later

The first name is durable before there is a second one. So no crash leaves a published file without a record and without
a mark. What it does leave has the name partial/ID, and is found as a stray like all unfinished bytes.

An upload that has a record already needs no mark. Its file only moves, as it does on the slow path:

    check           as above
    partial/ID      a new file, whatever had that name; written, read-only, synced
    files/ID        by a rename; then both folders are synced
    (record)        saved as completed

What a crash leaves at each step, where the record still says that no byte was received:

    before the rename            partial/ID                   bytes beyond the record, which the next body overwrites
    after it                     files/ID                     whole and verified; no client knows of it
    a power cut in the middle    either name, none, or both   both are one file then

Each of these is a good start for what may come next. `fill` makes a new file, and its rename replaces files/ID. The
slow path removes files/ID before it opens partial/ID for the first byte (disk.py), so it never writes to a published
file, and none is left beside it if the configuration has a layout or a bucket by then. To terminate the upload, or to
let it expire, removes both names.

Where several servers share the folder, a holder of the lease may be suspended anywhere, and wake up when another one
has published other bytes. No look at the lease can be one step with a rename. So there the file gets its name by a
link, which replaces nothing:

    check             as above, and partial/ID must not exist: the slow path replaces it, and leaves nothing behind
    partial/ID-TOKEN  a new file of this process; written, read-only, synced; then its name is synced     it is the mark
    files/ID          if the lease is still held: a second name, unless there is something; then that name is synced
    (record)          saved as completed
    filled            the mark is removed, a moment later

Only one of all holders gets its file there. The others, and any later holder that finds a file there, take the slow
path: its rename replaces a file that is not recorded. Nothing here ever removes or replaces files/ID. What is
left of a holder that woke up too late is found by its mark, and removed once the record says that the upload was
published elsewhere, has ended without a file, or is gone (strays.py, and the sweep).

Where the file system has no second names, or files/ is on another one, the slow path is taken from then on. Called by
disk.py.
"""

import asyncio
import errno
import os
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from onward.protocol.model import Place, UploadId
from onward.storage.base import Stale
from onward.storage.blobs.files import NEW, closed, exists, write_all
from onward.storage.blobs.publishing import Publishing
from onward.storage.failpoints import reach
from onward.storage.running.threads import Threads

LEISURE = 0.1  # seconds in which marks are gathered, to be removed together
_CANT = frozenset({errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class DiskShortFiles:
    """Publishes short files in one data folder; the steps that disk.py uses as well are given to it."""

    def __init__(
        self,
        root: Path,
        pool: Threads,
        publishing: Publishing,
        *,
        check_folder: Callable[[str], None],
        sync_folder: Callable[[Path], None],
        mapped: Callable[[], AbstractContextManager[None]],
        shared: bool,
    ) -> None:
        self._partial, self._files, self._pool, self._publishing = root / "partial", root / "files", pool, publishing
        self._check_folder, self._sync_folder, self._mapped, self._shared = check_folder, sync_folder, mapped, shared
        self._links = self._renames = True  # whether this folder can have second names, and renames into files/
        self._token = f"-{secrets.token_hex(4)}" if shared else ""  # at the end of this process's marks
        self._marked: list[UploadId] = []  # published and recorded files that still have their marks

    async def publish(self, id: UploadId, data: bytes, check: Callable[[bytes], None]) -> Place | None:
        """Store and publish a whole file; None if this folder can't have second names. Raises what `check` raises."""
        if not self._links:
            return None
        with self._mapped():
            self._links = await self._pool.call(self._publish, id, data, check)
        return Place(f"files/{id}") if self._links else None

    def _publish(self, id: UploadId, data: bytes, check: Callable[[bytes], None]) -> bool:
        check(data)
        self._check_folder("partial")
        self._check_folder("files")
        mark, final = self._partial / id, self._files / id
        fd = os.open(mark, NEW | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            self._write(fd, data)
            self._sync_folder(self._partial)
            reach("sealing")
            os.link(mark, final, follow_symlinks=False)
            reach("renamed")
            self._sync_folder(self._files)
            reach("sealed")
        except OSError as error:
            self._withdraw(mark, final)
            if error.errno not in _CANT:
                raise
            return False
        return True

    def _write(self, fd: int, data: bytes) -> None:
        """Write a new file, make it read-only and durable, and close it."""
        with closed(fd):
            write_all(fd, data, 0)
            reach("written")
            self._publishing.protect(fd)
        reach("synced")

    async def fill(
        self, id: UploadId, data: bytes, check: Callable[[bytes], None], holds: Callable[[], bool]
    ) -> Place | None:
        """Store and publish a file that has a record; None if the slow path has to be taken. Raises like `publish`."""
        if not (self._links if self._shared else self._renames):
            return None
        with self._mapped():
            if self._shared:
                filled = await self._pool.call(self._fill_beside_others, id, data, check, holds)
            else:
                filled = self._renames = await self._pool.call(self._fill, id, data, check)
        return Place(f"files/{id}") if filled else None

    def _fill_beside_others(
        self, id: UploadId, data: bytes, check: Callable[[bytes], None], holds: Callable[[], bool]
    ) -> bool:
        check(data)
        self._check_folder("partial")
        self._check_folder("files")
        if exists(self._partial / id):
            return False
        mark, linked = self._partial / f"{id}{self._token}", False
        try:
            fd = os.open(mark, NEW | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError:  # it marks what an earlier attempt has left
            return False
        try:
            self._write(fd, data)
            self._sync_folder(self._partial)
            reach("sealing")
            if not holds():
                raise Stale(id)
            reach("linking")
            os.link(mark, self._files / id, follow_symlinks=False)
            linked = True
            reach("renamed")
            self._sync_folder(self._files)
            reach("sealed")
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _CANT:
                raise
            self._links = False
            return False
        finally:
            if not linked:
                with suppress(OSError):
                    mark.unlink(missing_ok=True)
        return True

    def _fill(self, id: UploadId, data: bytes, check: Callable[[bytes], None]) -> bool:
        check(data)
        self._check_folder("partial")
        self._check_folder("files")
        unfinished = self._partial / id
        fd = self._make(unfinished)
        try:
            self._write(fd, data)
            reach("sealing")
            unfinished.rename(self._files / id)
            reach("renamed")
            self._sync_folder(self._files)
            self._sync_folder(self._partial)
            reach("sealed")
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            if error.errno not in _CANT:
                raise
            return False
        return True

    def begin(self, name: str) -> None:
        """Remove what a crash has left published of an upload that gets its first byte now; called in a thread.

        Where a state is shared it may be what the next holder of the lease has published. There a rename replaces it.
        """
        if self._shared:
            return
        try:
            (self._files / name).unlink()
        except FileNotFoundError:
            return
        self._sync_folder(self._files)

    def _make(self, path: Path) -> int:
        """Make a new file; what has the name already was never recorded, and may be published under another name."""
        flags = NEW | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o600)
        except FileExistsError:
            path.unlink()
            return os.open(path, flags, 0o600)

    def _withdraw(self, mark: Path, final: Path) -> None:
        """Remove what was not published; the mark stays as long as there is something that it marks."""
        with suppress(OSError):
            final.unlink(missing_ok=True)
            self._sync_folder(self._files)
            mark.unlink(missing_ok=True)

    def filled(self, id: UploadId) -> None:
        """Remove the mark of a file that has its record now, if it has one."""
        if self._shared:
            self.recorded(id)

    def recorded(self, id: UploadId) -> None:
        """Remove the mark of a published file a moment later, with others."""
        if not self._marked:
            asyncio.get_running_loop().call_later(LEISURE, self._clear_later)
        self._marked.append(id)

    def _clear_later(self) -> None:
        if self._marked:
            with suppress(Exception):  # without a thread, the clean-up removes the marks once they are old
                self._pool.call(self.clear)

    def clear(self) -> None:
        """Remove the marks of all files that have a record; called in a thread, or when all threads have ended."""
        marked, self._marked = self._marked, []
        for id_ in marked:
            with suppress(OSError):  # the clean-up tries it again
                (self._partial / f"{id_}{self._token}").unlink(missing_ok=True)

    def remove_marked(self, mark: Path) -> None:
        """Remove a mark, and the published file that it marks, of an upload that will not be published under its id.

        Called in a thread. Raises OSError.
        """
        published = self._files / mark.name.partition("-")[0]
        if exists(published) and exists(mark) and mark.samefile(published):
            published.unlink()
            self._sync_folder(published.parent)
        mark.unlink(missing_ok=True)
