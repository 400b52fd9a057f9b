"""Where a finished file goes: its path after the layout, and the URL under which the public finds it.

    layout       {id}: the path is known, and the file is published at once
                 any other: the file is staged, the record gets its path, and then the file is published
    outside      the file goes to a bucket; the local bytes are removed once the record says so
    public URL   told to watchers and in replies, once the file is there

Called by completion.py, for uploads that are verified.
"""

import logging
from functools import partial
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from onward.protocol.model import Role, Upload
from onward.protocol.naming import Layout, PathValues
from onward.protocol.progress import file_name, media_type
from onward.server.uploads.checks import Later
from onward.server.uploads.interrupt import Interrupt
from onward.server.uploads.measures import PUBLISH
from onward.server.uploads.records import UploadRecords
from onward.server.uploads.second_look import look_twice
from onward.storage.base import About, Full, StorageError, Unreachable, is_staged
from onward.storage.failpoints import reach
from onward.storage.failure_log import shorten_ids

PAUSE = 5.0  # seconds until a bucket that can't take a file is tried again
PUBLISHED = "publish"  # stands for the bucket among the names of the checks that an upload has to pass
log = logging.getLogger("onward")


class NotYet(Later):
    """The bucket of finished files can't take a file at the moment. The upload is held until it can."""


def announced_of(upload: Upload) -> About:
    """Return what the client has said about a file that is not verified yet."""
    return About(upload.promised or b"", file_name(upload), media_type(upload))


class Publishing(Struct, frozen=True, kw_only=True):
    """Where finished files go, as the operator has configured it."""

    # None for files that are named by the ids of their uploads.
    layout: Layout | None = None
    # With {path} where the path belongs; empty if there is none.
    public_url: str = ""
    # Whether equal files of one owner share their blocks.
    shares: bool = False
    # Whether finished files go to a bucket, which takes a while, and may not be possible now.
    outside: bool = False

    async def stage(
        self, records: UploadRecords, upload: Upload, sha256: bytes, interrupt: Interrupt, *, acknowledged: bool
    ) -> Upload:
        """Record the path of a verified file, if the layout makes one; returns the record as it is saved.

        May be repeated. Raises Missing, Stale and other StorageErrors, and what cuts the work short.
        """
        if self.layout is None or is_staged(upload.place):
            return upload
        values = PathValues(id=upload.id, sha256=sha256, file_name=file_name(upload), owner=upload.owner)
        stage = partial(
            records.storage.blobs.stage,
            upload.place,
            upload.offset,
            self.layout.path(values, records.clock()),
            records.holds(upload),
            acknowledged=acknowledged,
            check=interrupt.check,
        )
        place = await look_twice(stage)
        saved = await records.save(replace(upload, place=place, sha256=sha256))
        reach("placed")
        return saved

    def concerns(self, upload: Upload) -> bool:
        """Return whether a whole upload goes to a bucket: a part is not published."""
        return self.outside and upload.role is not Role.PARTIAL

    async def drop_local(self, records: UploadRecords, former: Upload, completed: Upload) -> None:
        """Remove the local bytes of an upload whose object is recorded; otherwise a later clean-up does it."""
        if not self.outside or former.place == completed.place:
            return
        try:
            await records.storage.blobs.tidy(former.place, completed.place)
        except StorageError as fault:
            log.warning("the local bytes of %s… are not removed yet: %s", completed.id[:8], shorten_ids(str(fault)))

    async def seal(
        self,
        records: UploadRecords,
        upload: Upload,
        interrupt: Interrupt,
        *,
        acknowledged: bool,
        content_type: str | None = None,
    ) -> Upload:
        """Publish a verified file; returns the record with its final place and its URL, which is not saved yet.

        May be repeated. Raises NotYet if the bucket can't take it now, and what `stage` raises.
        """
        seal = partial(
            records.storage.blobs.seal,
            upload.place,
            upload.offset,
            records.holds(upload),
            acknowledged=acknowledged,
            check=interrupt.check,
            about=About(upload.sha256 or b"", file_name(upload), content_type),
        )
        try:
            place = await look_twice(lambda: records.measures.time(PUBLISH, seal()))
        except (Unreachable, Full) as fault:
            if not self.outside:
                raise
            raise NotYet(PAUSE, str(fault)) from fault
        published = replace(upload, place=place)
        return replace(published, url=self.url_of(published))

    def url_of(self, published: Upload) -> str | None:
        """Return the URL under which the public finds a published file; None if there is none."""
        if not self.public_url:
            return None
        return self.public_url.replace("{path}", quote(published.path or ""))


AS_IDS = Publishing()
