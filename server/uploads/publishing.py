"""Where a finished file goes: its path after the layout, and the URL under which the public finds it.

    layout       {id}: the path is known, and the file is published at once
                 any other: the file is staged, the record gets its path, and then the file is published
    public URL   told to watchers and in replies, once the file is there

Called by completion.py, for uploads that are verified.
"""

from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from onward.protocol.model import Upload
from onward.protocol.naming import Layout, PathValues
from onward.protocol.progress import file_name
from onward.server.uploads.interrupt import Interrupt
from onward.server.uploads.measures import PUBLISH
from onward.server.uploads.records import UploadRecords
from onward.storage.base import is_staged
from onward.storage.failpoints import reach


class Publishing(Struct, frozen=True, kw_only=True):
    """Where finished files go, as the operator has configured it."""

    # None for files that are named by the ids of their uploads.
    layout: Layout | None = None
    # With {path} where the path belongs; empty if there is none.
    public_url: str = ""
    # Whether equal files of one owner share their blocks.
    shares: bool = False

    async def stage(
        self, records: UploadRecords, upload: Upload, sha256: bytes, interrupt: Interrupt, *, acknowledged: bool
    ) -> Upload:
        """Record the path of a verified file, if the layout makes one; returns the record as it is saved.

        May be repeated. Raises Missing, Stale and other StorageErrors, and what cuts the work short.
        """
        if self.layout is None or is_staged(upload.place):
            return upload
        values = PathValues(id=upload.id, sha256=sha256, file_name=file_name(upload), owner=upload.owner)
        place = await records.storage.blobs.stage(
            upload.place,
            upload.offset,
            self.layout.path(values, records.clock()),
            records.holds(upload),
            acknowledged=acknowledged,
            check=interrupt.check,
        )
        saved = await records.save(replace(upload, place=place, sha256=sha256))
        reach("placed")
        return saved

    async def seal(self, records: UploadRecords, upload: Upload, interrupt: Interrupt, *, acknowledged: bool) -> Upload:
        """Publish a verified file; returns the record with its final place and its URL, which is not saved yet.

        May be repeated. Raises what `stage` raises.
        """
        work = records.storage.blobs.seal(
            upload.place, upload.offset, records.holds(upload), acknowledged=acknowledged, check=interrupt.check
        )
        place = await records.measures.time(PUBLISH, work)
        published = replace(upload, place=place)
        return replace(published, url=self.public_url.replace("{path}", quote(published.path or "")) or None)


AS_IDS = Publishing()
