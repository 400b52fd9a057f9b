"""The bodies of requests: the room for one is claimed, its bytes are written, and what arrived is recorded.

The engine calls it with the lease held and the licence granted; `receive.py` has the loop over the strides. How a body
ends is in the record that `receive` returns: the upload may be unfinished, `verifying`, or failed.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from onward.protocol.checksums import ALGORITHMS
from onward.protocol.errors import Failed, LengthExceeded, Refusal, StorageFull
from onward.protocol.model import EXCEEDED, LOST, AppendRequest, Licence, Role, Upload, UploadId
from onward.server.uploads.body_records import BodyRecords
from onward.server.uploads.body_writer import BodyThreads, BodyWriter
from onward.server.uploads.checks.asking import Checks
from onward.server.uploads.hashing import HashQueue, RunningHash, RunningSha256
from onward.server.uploads.kept_hashes import KeptHashes
from onward.server.uploads.measures import SYNC
from onward.server.uploads.publishing import announced_of
from onward.server.uploads.quotas import BodyClaims
from onward.server.uploads.receive import Body, check_body, receive
from onward.server.uploads.records import UploadRecords
from onward.server.uploads.reserve import Claim, Reserve
from onward.storage.base import Ahead, Missing, StorageError

EMPTY_WITHIN = 1.0  # seconds to look for an unexpected body on a completed upload before answering


class Bodies:
    """Stores the bodies of requests; `received` counts their bytes.

    `is_named` says whether a single upload is published under its id for certain, without a layout and checks.
    """

    def __init__(self, records: UploadRecords, reserve: Reserve, checks: Checks, *, is_named: bool) -> None:
        self._is_named = is_named
        self._records, self._reserve, self._checks = records, reserve, checks
        self._blobs, self._threads = records.storage.blobs, BodyThreads()
        self._kept = KeptHashes(self._blobs, self._threads.hashing)
        self.received = 0
        self._arriving: dict[UploadId, BodyWriter] = {}
        records.storage.state.count_arrived_by(self.arrived)

    def close(self) -> None:
        """Wait until all writing is done, and end the threads."""
        self._threads.close()

    def arrived(self, id: UploadId) -> int:
        """Return up to which position bytes of an upload have arrived in the body that is running; 0 if none is."""
        writer = self._arriving.get(id)
        return 0 if writer is None else writer.position

    @contextmanager
    def _counted(self, id: UploadId, body_writer: BodyWriter) -> Iterator[None]:
        """Tell watchers what arrives, until the body ends."""
        self._arriving[id] = body_writer
        try:
            yield
        finally:
            if self._arriving[id] is body_writer:
                del self._arriving[id]

    async def check_empty(self, body: Body, licence: Licence) -> None:
        """Check that a completed upload gets no more bytes; raises LengthExceeded, and for a checksum BodyMismatch."""
        nowhere = BodyWriter(self._threads, lambda block, at: None, licence, ())  # noqa: ARG005
        await body.pour(nowhere, 1, asyncio.get_running_loop().time() + EMPTY_WITHIN)
        if (announced := licence.checksum) is not None:
            check_body(body, licence, RunningHash(ALGORITHMS[announced.algorithm].begin()))

    async def note_excess(self, upload: Upload, asked: AppendRequest | Licence) -> None:
        """Let an unfinished upload fail, if that is what follows from a body with more bytes than it has left."""
        if asked.excess_fails and not upload.status.final:
            await self._records.end(self._records.failed(upload, EXCEEDED))

    async def claim(self, recorded: Upload, upload: Upload, size: int | None) -> Claim:
        """Claim room for a body; if there is none, first remove the bytes of this upload that are in no record.

        Raises StorageFull.
        """
        try:
            return await self._reserve.claim_body(recorded, upload, size)
        except StorageFull:
            if not await self._trim(upload):
                raise
        self._reserve.look_again()
        return await self._reserve.claim_body(recorded, upload, size)

    async def _trim(self, upload: Upload) -> int:
        """Remove bytes that were written but never recorded (a rejected body, a crash); return how many."""
        with suppress(StorageError):
            return await self._blobs.trim(upload.place, upload.offset, self._records.holds(upload))
        return 0

    async def receive(
        self, recorded: Upload, upload: Upload, licence: Licence, body: Body, claims: BodyClaims
    ) -> tuple[Upload, RunningSha256 | None, bytes | None]:
        """Write a body and record its bytes. `recorded` is the record in the state, `upload` the one to save next.

        Returns the record, and the hash and the first bytes of the whole file if they are known. Raises what cuts the
        body or refuses more of it, and StorageError.
        """
        blobs, hashing = self._blobs, await self._kept.take(recorded)
        running = hashing.running if hashing else None
        announced = licence.checksum
        summed = RunningHash(ALGORITHMS[announced.algorithm].begin()) if announced else None
        queues = [hashing.queue] if hashing else []
        if summed is not None:
            queues.append(HashQueue(self._threads.hashing, summed))
        noted = BodyRecords(
            self._records, recorded, upload, running=running, claim=claims.claim, body=body, count=self._count
        )
        body_writer, head = None, self._checks.head(upload, licence)
        try:
            named = self._is_named and upload.role is Role.SINGLE
            ahead = Ahead(upload.length, named=named, about=partial(announced_of, upload))
            async with blobs.open(upload.place, licence.start, self._records.holds(upload), ahead) as writer:
                write = head.tapped(claims.counted(writer.write))
                body_writer = BodyWriter(self._threads, write, licence, queues, writer)
                if writer.lasts and summed is None and not head.lacks(licence.start):
                    body_writer.record = partial(noted.end_here, place=writer.place, licence=licence)
                with self._counted(upload.id, body_writer):
                    position = await receive(
                        body,
                        body_writer,
                        licence,
                        writer,
                        noted.note,
                        mark=noted.mark,
                        tell=noted.tell,
                        stride=blobs.stride,
                        check_room=claims.note,
                        head=head,
                        timed=partial(self._records.measures.time, SYNC),
                    )
                place = writer.place
            if summed is not None:
                check_body(body, licence, summed)
                await head.judge(position, proved=True)
        except (Failed, Missing) as fault:
            failure = fault.failure if isinstance(fault, Failed) else LOST
            return await self._records.end(self._records.failed(noted.recorded, failure)), None, None
        except (Refusal, StorageError) as fault:
            recorded = await noted.pause()
            if isinstance(fault, LengthExceeded):
                await self.note_excess(recorded, licence)
            raise
        finally:
            if body_writer is not None:
                noted.count(body_writer.position)
        ended = await noted.end(position, place, licence, last=claims.last)
        if hashing is not None:
            self._kept.keep(ended, hashing)
        return ended, running, head.of(ended)

    def _count(self, more: int) -> None:
        self.received += more
