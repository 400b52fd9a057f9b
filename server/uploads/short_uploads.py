"""Short uploads that one request brings whole: stored, hashed, judged and published in one call of one thread.

The slow path takes a lease, the bytes, a record, the published name and another record, after a first record at the
creation. Where all bytes have arrived already, and nothing but their SHA-256 has to be known of them, this is enough:

    a PATCH        its lease and its licence as ever                                    engine.py
    one thread     hash, judge  ->  write, sync  ->  the name under files/, synced      storage/base/short_files.py
    one record     completed, with its events in the same transaction
    reply

    `store`        of a creation: no lease, since nobody knows the id; the record is inserted, with the quota. Not where
                   servers share a state
    `fill`         of a PATCH that brings all bytes of an upload that has none: the record is saved

Bytes, record, event, reply: the order is the usual one. A crash before the record leaves a file that the sweep or the
next request removes or replaces (short_files.py). Whatever does not go well here (a wrong checksum, a full disk, a
server that is stopping) takes the slow path from its beginning, with the bytes that are in memory, and is answered as
ever. Called by create_once.py and by the engine.
"""

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from msgspec.structs import replace

from onward.protocol import decisions
from onward.protocol.checksums import ALGORITHMS
from onward.protocol.errors import BodyMismatch, Failed, Refusal, StorageFull
from onward.protocol.model import AppendRequest, Checksum, CreateRequest, Limits, Place, Role, Upload, UploadId
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

Check = Callable[[bytes], None]


class MemoryBody:
    """A body whose bytes have all arrived: `data`. `body` tells the client of it; None if its dialect does not."""

    cut_by: Refusal | None = None

    def __init__(self, data: bytes, body: Body | None = None) -> None:
        self.data, self._body, self.over = data, body, False

    async def pour(self, body_writer: BodyWriter, most: int, until: float) -> None:  # noqa: ARG002
        """Write all of it."""
        self.over = True
        if body_writer.full:
            await body_writer.drained()
        await body_writer.put(self.data)

    def cut(self, why: Refusal) -> None:
        """Do nothing: bytes that have arrived are written."""

    async def tell(self, upload: Upload) -> None:
        """Tell the client what is recorded, as its dialect does."""
        if self._body is not None:
            await self._body.tell(upload)


class ShortUploads:
    """Stores short uploads in one step, where that is possible; `received` counts their bytes."""

    def __init__(self, records: UploadRecords, reserve: Reserve, publishing: Publishing, running: Running) -> None:
        self._records, self._reserve = records, reserve
        self._publishing, self._running = publishing, running
        self.received = 0
        usual = publishing.layout is not None or publishing.shares or publishing.outside or bool(records.checks)
        self._files = records.storage.blobs.short if not usual else None
        self._is_own = records.storage.state.is_own

    @property
    def most(self) -> int:
        """Return how many bytes a body may have to be taken as a whole; 0 if none is."""
        return 0 if self._files is None or self._running.stopping else SHORT

    async def store(self, request: CreateRequest, data: bytes, id: UploadId, limits: Limits) -> Upload | None:
        """Create, store and publish an upload of which `data` is all; None if it has to take the slow path.

        Raises TooLarge, and StorageError if it is uncertain whether the record was saved.
        """
        files = self._files if self._is_own and 0 < len(data) <= self.most else None
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
            began = self._records.clock.elapsed()
            if (published := await self._publish(files.publish, upload, request.checksum, data, began)) is None:
                return None
            completed = replace(published, version=upload.version + 1)
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

    async def fill(self, recorded: Upload, upload: Upload, request: AppendRequest, data: bytes) -> Upload | None:
        """Store and publish an upload without bytes, of which `data` is all; None if it has to take the slow path.

        The caller holds the lease. `recorded` is the record in the state, and `upload` the one to save next, which has
        what the request declares. Raises StorageError if it is uncertain whether the record was saved.
        """
        files = self._files if 0 < len(data) <= self.most else None
        if files is None or not recorded.length == len(data) == request.body_size:
            return None
        if upload.role is not Role.SINGLE or upload.types:
            return None
        began = self._records.clock.elapsed()
        fill = partial(files.fill, holds=self._records.holds(upload))
        if (completed := await self._publish(fill, upload, request.checksum, data, began)) is None:
            return None
        completed = await self._records.end(completed, last=True)
        self.received += len(data)
        files.filled(upload.id)
        return completed

    async def _publish(
        self,
        publish: Callable[[UploadId, bytes, Check], Awaitable[Place | None]],
        upload: Upload,
        announced: Checksum | None,
        data: bytes,
        began: float,
    ) -> Upload | None:
        """Store, judge and publish the bytes; returns the record to save, or None if that does not go well.

        `began` is the steady time at which the body began.
        """
        records, sha256 = self._records, b""

        def check(block: bytes) -> None:
            nonlocal sha256
            sha256 = hashlib.sha256(block).digest()
            decisions.judge(upload, sha256)
            if announced is not None:
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
            place = await records.measures.time(PUBLISH, publish(upload.id, data, check))
            claim.wrote(len(data))
        except (Failed, BodyMismatch, StorageError):
            return None
        finally:
            claim.end()
        if place is None:
            return None
        now, limits = records.clock(), records.limits
        since = now - (records.clock.elapsed() - began)  # by the steady clock, since the wall clock may be set
        whole = decisions.ended(upload, len(data), now=now, since=since, limits=limits, cut=False)
        completed = decisions.completed(
            whole, sha256=sha256, place=place, now=now, limits=limits, content_type=detect(data)
        )
        return replace(completed, url=self._publishing.url_of(completed))
