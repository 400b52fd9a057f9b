"""Short uploads that one request brings whole: stored, hashed, judged and published in one call of one thread.

The usual way takes a record, a lease, the bytes, a second record, the published name and a third record. Where all
bytes have arrived together with the creation, and nothing but their SHA-256 has to be known of them, this is enough:

    one thread     hash, judge  ->  write, sync  ->  the name under files/, synced      storage/base/short_files.py
    one record     inserted as completed, with the quota and with both events in the same transaction
    reply

Bytes, record, event, reply: the order is the usual one. A crash before the record leaves a marked file that the sweep
removes. Whatever does not go well here (a wrong checksum, a full disk, a server that is stopping) goes the usual way
from its beginning, with the bytes that are in memory, and is answered as ever. Called by create_once.py.
"""

import hashlib
from contextlib import suppress

from msgspec.structs import replace

from onward.protocol import decisions
from onward.protocol.checksums import ALGORITHMS
from onward.protocol.errors import BodyMismatch, Failed, Refusal, StorageFull
from onward.protocol.model import CreateRequest, Limits, Upload, UploadId
from onward.server.uploads.body_writer import BodyWriter
from onward.server.uploads.checks.types import detect
from onward.server.uploads.interrupt import Running
from onward.server.uploads.measures import PUBLISH
from onward.server.uploads.publishing import Publishing
from onward.server.uploads.receive import Body
from onward.server.uploads.records import UploadRecords
from onward.server.uploads.reserve import Reserve
from onward.storage.base import SHORT, Crowded, Exceeded, ShortFiles, StorageError
from onward.storage.failpoints import reach


class Brought:
    """A body whose bytes have all arrived, for the usual way."""

    cut_by: Refusal | None = None

    def __init__(self, data: bytes, body: Body) -> None:
        self._data, self._body, self.over = data, body, False

    async def pour(self, body_writer: BodyWriter, most: int, until: float) -> None:  # noqa: ARG002
        """Write all of it."""
        self.over = True
        if body_writer.full:
            await body_writer.drained()
        await body_writer.put(self._data)

    def cut(self, why: Refusal) -> None:
        """Do nothing: bytes that have arrived are written."""

    async def tell(self, upload: Upload) -> None:
        """Tell the client what is recorded, as its dialect does."""
        await self._body.tell(upload)


class ShortUploads:
    """Stores short uploads in one step, where that is possible; `received` counts their bytes."""

    def __init__(self, records: UploadRecords, reserve: Reserve, publishing: Publishing, running: Running) -> None:
        self._records, self._reserve = records, reserve
        self._publishing, self._running = publishing, running
        self.received = 0
        usual = publishing.layout is not None or publishing.shares or publishing.outside or bool(records.checks)
        self._files = records.storage.blobs.short if records.storage.state.is_own and not usual else None

    @property
    def most(self) -> int:
        """Return how many bytes a body may have to be taken as a whole; 0 if none is."""
        return 0 if self._files is None or self._running.stopping else SHORT

    async def store(self, request: CreateRequest, data: bytes, id: UploadId, limits: Limits) -> Upload | None:
        """Create, store and publish an upload of which `data` is all; None if it has to go the usual way.

        Raises TooLarge, and StorageError if it is uncertain whether the record was saved.
        """
        files = self._files if 0 < len(data) <= self.most else None
        if files is None or not request.has_body or request.length != len(data) or request.concat or request.types:
            return None
        now = self._records.clock()
        place = await self._records.storage.blobs.create(id)
        upload = decisions.create(request, id=id, place=place, now=now, limits=limits)
        unrecorded = self._records.unrecorded
        unrecorded.add(id)  # until it is certain that no commit can come any more: it stays if this task is cancelled
        try:
            stored = await self._store(files, upload, request, data)
        except Exception:
            unrecorded.discard(id)
            raise
        unrecorded.discard(id)
        return stored

    async def _store(self, files: ShortFiles, upload: Upload, request: CreateRequest, data: bytes) -> Upload | None:
        try:
            await self._reserve.promise(len(data))
        except StorageFull:
            return None
        try:
            if (completed := await self._publish(files, upload, request, data)) is None:
                return None
            try:
                await self._records.insert_completed(upload, completed)
            except (Crowded, Exceeded):
                with suppress(StorageError):  # otherwise the sweep removes it
                    await self._records.storage.blobs.remove(completed.place)
                return None
        finally:
            self._reserve.recorded(len(data))
        self.received += len(data)
        files.recorded(upload.id)
        reach("answering")
        return completed

    async def _publish(self, files: ShortFiles, upload: Upload, request: CreateRequest, data: bytes) -> Upload | None:
        """Store, judge and publish the bytes; returns the record to insert, or None if that does not go well."""
        records, sha256 = self._records, b""

        def check(block: bytes) -> None:
            nonlocal sha256
            sha256 = hashlib.sha256(block).digest()
            decisions.judge(upload, sha256)
            if (announced := request.checksum) is not None:
                summing = ALGORITHMS[announced.algorithm].begin()
                summing.update(block)
                if summing.digest() != announced.digest:
                    raise BodyMismatch
            reach("judged")

        try:
            claim = await self._reserve.claim_body(upload, upload, len(data))
        except StorageFull:
            return None
        try:
            place = await records.measures.time(PUBLISH, files.publish(upload.id, data, check))
            claim.wrote(len(data))
        except (Failed, BodyMismatch, StorageError):
            return None
        finally:
            claim.end()
        if place is None:
            return None
        now, limits = records.clock(), records.limits
        whole = decisions.ended(upload, len(data), now=now, since=upload.created, limits=limits, cut=False)
        completed = decisions.completed(
            replace(whole, version=upload.version + 1),
            sha256=sha256, place=place, now=now, limits=limits, content_type=detect(data),
        )  # fmt: skip
        return replace(completed, url=self._publishing.url_of(completed))
