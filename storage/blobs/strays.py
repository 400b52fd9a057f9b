"""What a crash has left in the local folder: found by its age, and removed unless a record needs it. A part of disk.py.

partial/ID                 unfinished bytes; or the mark of a published file (short_files.py)
a name with a full stop    temporary, left in the middle of a step
"""

import os
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from onward.protocol.model import ID_PATTERN, Place, UploadId
from onward.storage.blobs.files import exists
from onward.storage.blobs.sharing import DiskSharing


class DiskStrays(DiskSharing):
    """The clean-up of a local folder. `_swept` are the names of the folders that are searched."""

    _swept: tuple[str, ...]

    async def strays(self, before: float) -> AsyncIterator[tuple[Place, UploadId | None]]:
        """Yield the unfinished places that nothing was written to since a time, temporary files included."""
        with self._mapped():
            paths = await self._slow.call(self._untouched, before)
        for path in paths:
            id_ = re.fullmatch(rf"\.?({ID_PATTERN})", path.name)
            yield Place(f"{path.parent.name}/{path.name}"), UploadId(id_[1]) if id_ else None

    def _untouched(self, before: float) -> list[Path]:
        found: list[Path] = []
        for folder in filter(Path.exists, (self._root / name for name in self._swept)):
            with os.scandir(folder) as entries:
                strange = (entry for entry in entries if folder.name == "partial" or "." in entry.name)
                for entry in strange:
                    with suppress(FileNotFoundError):  # it was published, or removed, while this was looking
                        if entry.stat(follow_symlinks=False).st_mtime < before:
                            found.append(Path(entry))
        return found

    async def tidy(self, stray: Place, recorded: Place) -> bool:
        """Remove the mark of a published file that has a record; returns whether there was one."""
        with self._mapped():
            return await self._pool.call(self._unmark, self._root / stray, self._root / recorded)

    def _unmark(self, mark: Path, published: Path) -> bool:
        if mark == published or mark.name != published.name or published.parent.name != "files":
            return False
        if not exists(mark) or not exists(published) or not mark.samefile(published):
            return False
        mark.unlink()
        return True
