"""Publishing a file: from partial/ to files/, by a rename, or by a copy if the two are on different file systems.

A file appears under its final name whole and synced, or not at all.

    same file system       cut to length, sync  ->  rename  ->  sync both folders
    different ones         copy to files/.ID-xxxx, sync  ->  rename to files/ID  ->  sync files/  ->  remove partial/ID

After a crash in the middle of a copy both names may exist; publishing again finds the published file whole, and only
removes the other one. A temporary file that a crash has left is removed by the clean-up. Called by `DiskBlobs.seal`.
"""

import errno
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import TypeVar

from onward.storage.base import Stale
from onward.storage.blobs.files import NEW, closed, copy_up_to, exists, open_regular, opened
from onward.storage.blobs.places import marked
from onward.storage.failpoints import reach
from onward.storage.running.threads import Threads

STEP = 2**26  # bytes that are copied or hashed between two checks for an interruption
Result = TypeVar("Result")
Open = Callable[[Path, int, int], int]


class Publishing:
    """Publishes the files of one data folder; the steps that disk.py uses as well are given to it."""

    def __init__(
        self,
        pool: Threads,
        slow: Threads,
        *,
        open_: Open,
        check_folder: Callable[[], None],
        sync_acknowledged: Callable[[int, Path], None],
        sync_folder: Callable[[Path], None],
        synced: bool,
        mode: int,
    ) -> None:
        self._mode = mode
        self._pool, self._slow, self._check_folder = pool, slow, check_folder
        self._open, self._sync_acknowledged, self._sync_folder, self._synced = (
            open_,
            sync_acknowledged,
            sync_folder,
            synced,
        )

    def rename(self, unfinished: Path, final: Path, length: int, holds: Callable[[], bool], acknowledged: bool) -> bool:
        """Publish exactly the first `length` bytes; called in a thread.

        Returns False if the folders are on different file systems. Raises Missing, Stale, Full and OSError.
        """
        self._check_folder()
        try:
            make = os.O_CREAT if not length and not exists(final) else 0
            fd = self._open(unfinished, make, length)
        except FileNotFoundError:
            if not exists(final):
                raise
            os.close(open_regular(final, os.O_RDONLY, length))  # it is already published
            self._sync_folder(final.parent)
            self._sync_folder(unfinished.parent)
            return True
        self.finish(fd, unfinished, length, acknowledged, self.protect)
        reach("sealing")
        if not holds():
            raise Stale(final.name)
        try:
            unfinished.rename(final)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return False
        reach("renamed")
        self._sync_folder(final.parent)
        self._sync_folder(unfinished.parent)
        reach("sealed")
        return True

    def finish(
        self, fd: int, unfinished: Path, length: int, acknowledged: bool, protect: Callable[[int], Result]
    ) -> Result:
        """Make an open file one that can be published: cut to its length, protected by a function, durable; close it.

        Raises Missing if bytes were acknowledged that can't be synced.
        """
        with closed(fd):
            if acknowledged:
                self._sync_acknowledged(fd, unfinished)
            os.ftruncate(fd, length)
            return protect(fd)

    async def copy(
        self, unfinished: Path, final: Path, length: int, holds: Callable[[], bool], check: Callable[[], None]
    ) -> None:
        """Publish by a copy; `check` is called between its steps and may raise. Raises what `rename` raises."""
        if not await self._pool.call(_is_whole, final, length):
            await self.copy_to(unfinished, final, length, holds, check=check, protect=self.protect)
        await self._pool.call(self._remove_source, unfinished, final, holds)

    async def copy_to(
        self,
        unfinished: Path,
        final: Path,
        length: int,
        holds: Callable[[], bool],
        *,
        check: Callable[[], None],
        protect: Callable[[int], Result],
    ) -> Result:
        """Copy a whole file to files/, under a temporary name until it is durable; returns what `protect` returns."""
        fresh = final.with_name(f".{final.name}-{secrets.token_hex(4)}")
        try:
            source = await opened(self._slow, open_regular, unfinished, os.O_RDONLY, length)
            with closed(source):
                target = await opened(self._slow, open_regular, fresh, NEW, 0)
                with closed(target):
                    at = 0
                    while at < length:
                        at = await self._slow.call(copy_up_to, source, target, at, min(at + STEP, length))
                        reach("publishing")
                        check()
                    protected = await self._slow.call(protect, target)
            await self._pool.call(_name, fresh, final, holds)
            return protected
        except BaseException:
            with suppress(OSError):
                await self._slow.call(fresh.unlink, True)
            raise

    def protect(self, fd: int) -> None:
        """Make an open file read-only and durable."""
        os.fchmod(fd, self._mode)
        if self._synced:
            os.fsync(fd)

    def mark(self, fd: int) -> str:
        """Protect a file, give it a token and return that; durable afterwards."""
        found = marked(fd)
        self.protect(fd)
        return found

    def _remove_source(self, unfinished: Path, final: Path, holds: Callable[[], bool]) -> None:
        """Make the name of the copy durable, then remove the file that it was made from; raises Stale."""
        self._sync_folder(final.parent)
        if not holds():  # another server may be working with that file by now
            raise Stale(final.name)
        unfinished.unlink(missing_ok=True)
        final.with_name(f".{final.name}").unlink(missing_ok=True)  # a copy that was staged before the layout changed
        self._sync_folder(unfinished.parent)
        reach("sealed")


def _is_whole(final: Path, length: int) -> bool:
    """Return whether a file is already published: it gets its name only when it is whole and synced.

    One with a second name has a mark, and is not what this upload has received since (short_files.py).
    """
    if not exists(final):
        return False
    found = os.stat(final, follow_symlinks=False)
    return S_ISREG(found.st_mode) and found.st_size == length and found.st_nlink == 1


def _name(fresh: Path, final: Path, holds: Callable[[], bool]) -> None:
    """Rename a whole copy to its final name; raises Stale."""
    if not holds():
        raise Stale(final.name)
    fresh.rename(final)
    reach("renamed")
