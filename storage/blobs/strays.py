"""What a crash has left in the local folder: found by its age, and removed unless a record needs it. A part of disk.py.

partial/ID                 unfinished bytes, no longer needed once another file is published; or the mark of a
                           published file (short_files.py)
partial/ID-TOKEN           the mark of a published file, where several servers share the folder
files/.ID…                 temporary, left in the middle of a step, and likewise with records/
                           Only names that this server gives. A layout names finished files as their clients do.
"""

import os
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from onward.protocol.model import ID_PATTERN, Place, UploadId
from onward.storage.blobs.files import exists
from onward.storage.blobs.places import parts
from onward.storage.blobs.sharing import DiskSharing
from onward.storage.blobs.short_files import DiskShortFiles

# In files/: a staged copy, a copy that was to take the place of a file or of such a copy, a file of the probe.
_TEMPORARY = re.compile(rf"\.{ID_PATTERN}|\.{{1,2}}{ID_PATTERN}-[0-9a-f]{{8}}|\.probe-[0-9a-f]{{16}}")
_WHOSE = re.compile(rf"\.?({ID_PATTERN})|({ID_PATTERN})-[0-9a-f]{{8}}")


class DiskStrays(DiskSharing):
    """The clean-up of a local folder. `_swept` are the names of the folders that are searched."""

    _swept: tuple[str, ...]
    short: DiskShortFiles

    async def strays(self, before: float) -> AsyncIterator[tuple[Place, UploadId | None]]:
        """Yield the unfinished places that nothing was written to since a time, temporary files included."""
        with self._mapped():
            paths = await self._slow.call(self._untouched, before)
        for path in paths:
            id_ = _WHOSE.fullmatch(path.name)
            yield Place(f"{path.parent.name}/{path.name}"), UploadId(id_[1] or id_[2]) if id_ else None

    def _untouched(self, before: float) -> list[Path]:
        found: list[Path] = []
        for folder in filter(Path.exists, (self._root / name for name in self._swept)):
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not _may_be_left(folder.name, entry.name):
                        continue
                    with suppress(FileNotFoundError):  # it was published, or removed, while this was looking
                        if entry.stat(follow_symlinks=False).st_mtime < before:
                            found.append(Path(entry))
        return found

    async def tidy(self, stray: Place, recorded: Place) -> bool:
        """Remove the mark of a published file that has a record; returns whether there was one.

        Where servers share the folder, the marked file goes as well if the record says that another was published. And
        so do the bytes that a server has begun to write which woke up too late.
        """
        with self._mapped():
            if "-" in stray:
                return await self._pool.call(self._judge, self._root / stray, recorded)
            return await self._pool.call(self._unmark, self._root / stray, parts(recorded).where)

    def _judge(self, mark: Path, recorded: Place) -> bool:
        if recorded.startswith("partial/"):  # its file is used by nobody, and goes when the upload ends
            return False
        if recorded == f"files/{mark.name.partition('-')[0]}":
            mark.unlink(missing_ok=True)
        else:
            self.short.remove_marked(mark)
        return True

    def _unmark(self, mark: Path, published: str) -> bool:
        staged = published == f"files/.{mark.name}"
        if mark.parent.name != "partial" or not published.startswith("files/") or staged:
            return False
        if not exists(mark) or not exists(self._root / published):
            return False
        mark.unlink()
        return True


def _may_be_left(folder: str, name: str) -> bool:
    """Return whether a name in a folder can be one that a crash has left, and not that of something finished."""
    return folder == "partial" or bool(_TEMPORARY.fullmatch(name)) or (folder == "records" and "." in name)
