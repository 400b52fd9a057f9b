"""All that can be done with an upload, as one class: create, append, inspect, terminate, read.

`server/http` calls it with requests that a dialect has read; HTTP itself is unknown here. `protocol/decisions.py` says
what is allowed and what the next record is; the engine holds the lease, moves the bytes and saves the records. The
order is always: bytes, then record, then event, then reply.

A PATCH, from the call to the file and the record:

    append                       in a task of its own, which a disconnect of the client does not cancel
      _append                    wait for the lease, which asks the holder to end       records.py, interrupt.py
        decisions.append         the licence: which bytes may be written; or a refusal
        _claim                   a claim on the free room; or a refusal                 reserve.py
        _receive                 open the place, continue the saved hash
          receive                stride by stride: bytes, sync, record                  receive.py
            body.pour            blocks from the socket, or from aiohttp's stream       server/http/transport/body.py
              BodyWriter.take    each block: written to the file, and hashed            body_writer.py, hashing.py
            BodyRecords.note     decisions.received, then save; watchers are notified   body_records.py
          BodyRecords.end        decisions.ended, the record at the end of this body
          _verify                if that was the last byte: hash, judge, publish        completion.py
      the upload, or what made it fail (check_not_failed), or what cut the body short
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from math import inf

from msgspec.structs import replace

from onward.protocol import decisions
from onward.protocol.checksums import ALGORITHMS
from onward.protocol.errors import Failed, Forbidden, Gone, NotCompleted, Refusal, StorageFull, Unavailable
from onward.protocol.model import LOST, AppendRequest, CreateRequest, Licence, Limits, Role, Status, Upload, UploadId
from onward.server.uploads.body_records import BodyRecords
from onward.server.uploads.body_writer import BodyThreads, BodyWriter
from onward.server.uploads.checks import Check
from onward.server.uploads.checks.asking import Checks
from onward.server.uploads.clock import Clock
from onward.server.uploads.completion import Completion
from onward.server.uploads.concatenation import FinalUploads
from onward.server.uploads.hashing import RunningHash, RunningSha256
from onward.server.uploads.interrupt import BodyInterrupt, Interrupt, Interruptible, Running
from onward.server.uploads.publishing import AS_IDS, Publishing
from onward.server.uploads.receive import Body, check_body, receive
from onward.server.uploads.records import UploadRecords, check_not_failed
from onward.server.uploads.reserve import Claim, Reserve
from onward.server.uploads.sweep import Sweep
from onward.storage.base import Ahead, Full, Held, Missing, Storage, StorageError
from onward.storage.failpoints import reach
from onward.storage.failure_log import shorten_ids
from onward.storage.running.uncancellable import disregard

EMPTY_WITHIN = 1.0  # seconds to look for an unexpected body on a completed upload before answering
LINK_STAYS = 3600  # seconds
CLOSING = 0.25  # seconds that cancelled work may take to end; what takes longer ends when the storage is closed
log = logging.getLogger("onward")


def new_id() -> UploadId:
    """Make the id of an upload: 128 random bits."""
    return UploadId(secrets.token_hex(16))


class Engine:
    """Everything that can be done with an upload. `boot` is the machine's boot id; `checks` come before publishing."""

    def __init__(
        self,
        storage: Storage,
        limits: Limits,
        *,
        lease_wait: float,
        boot: str = "",
        clock: Clock | None = None,
        checks: Sequence[Check] = (),
        publishing: Publishing = AS_IDS,
    ) -> None:
        self.limits = limits
        self.records = UploadRecords(storage, limits, lease_wait=lease_wait, boot=boot, clock=clock)
        self._storage = storage
        self._clock = self.records.clock
        self._threads = BodyThreads()
        self.reserve = Reserve(storage, limits.reserve)
        self.checks = Checks(checks, storage.blobs)
        self.records.checks = self.checks.names
        self._completion = Completion(self.records, self.reserve, self.checks, publishing)
        self._is_named = publishing.layout is None and not checks
        self._final_uploads = FinalUploads(self.records, self._completion)
        self._running, self._under_way = Running(), 0
        self.sweep = Sweep(self.records, self._completion, self._final_uploads, self._running, self._remove)
        self.received = 0

    async def create(self, request: CreateRequest, *, limits: Limits | None = None) -> Upload:
        """Create an upload without bytes. `limits` are those of this request, if they differ from the server's own.

        Raises TooLarge, StorageFull, Crowded, and for a final upload Missing, Gone or BadRequest for its parts.
        """
        size = request.body_size or 0 if request.length is None else request.length
        if request.concat and request.concat.parts:
            length, lengths = await self._final_uploads.keep_parts(request.concat.parts, may_wait=request.may_wait)
            request, size = replace(request, length=length), await self.reserve.joined_size(lengths)
        now, id_ = self._clock(), new_id()
        place = await self._storage.blobs.create(id_)
        upload = decisions.create(request, id=id_, place=place, now=now, limits=limits or self.limits)
        await self.reserve.promise(size)
        try:
            return await self.records.insert(upload)
        finally:
            self.reserve.recorded(size)

    async def fill(self, upload: Upload, request: CreateRequest, body: Body, *, limits: Limits | None = None) -> Upload:
        """Append the body of the creation request, or join the parts; raises what `append` raises."""
        if upload.role is Role.FINAL:
            return check_not_failed(await self._join(upload.id, wait=None))
        if not request.has_body and request.length != 0:
            return upload
        first = AppendRequest(
            offset=0, length=None, promised=None, body_size=request.body_size, checksum=request.checksum
        )
        return await self.append(upload.id, first, body, limits=limits)

    async def inspect(self, id: UploadId) -> Upload:
        """Return the record of an upload while no request is changing it; raises Missing, Held, Gone or Unchecked."""
        resting = await self.records.at_rest(id)
        upload = resting or await self.records.load(id)
        if upload.status is Status.VERIFYING and self.checks.concern(upload):
            if resting is None or upload.held_until is None:  # no request may be working on it
                self.sweep.long.add(id)
            upload = await self._completion.outcome(id)
        elif upload.role is Role.FINAL and not upload.status.final:
            with suppress(Held):
                upload = await self._join(id, wait=0)
        elif not upload.status.final and (resting is None or upload.status is Status.VERIFYING):
            async with self.records.leased(id, lambda: None) as held:
                upload = await self._verify(held, None) if held.status is Status.VERIFYING else held
        decisions.check_open(upload, self._clock())
        return upload

    async def append(self, id: UploadId, request: AppendRequest, body: Body, *, limits: Limits | None = None) -> Upload:
        """Append a body, as far as it arrives, and publish the upload if it is complete then.

        Raises what `decisions.append` raises, Missing or Held for the lease, StorageFull, BodyMismatch,
        Failed if the upload fails now, and what cut the body short.
        """
        interrupt = BodyInterrupt(body)
        return await self._uncancelled(self._append(id, request, body, interrupt, limits or self.limits), interrupt)

    async def terminate(self, id: UploadId) -> None:
        """End an upload and remove its bytes; raises Missing, Held or Gone."""
        async with self.records.leased(id, lambda: None) as upload:
            if decisions.is_expired(upload, self._clock()):
                raise Gone("The upload was expired.")
            await self._remove(decisions.terminated(upload, now=self._clock(), limits=self.limits))

    async def published(self, id: UploadId) -> Upload:
        """Return the record of a completed upload; raises Missing, Gone, Forbidden or NotCompleted."""
        upload = await self.records.load(id)
        decisions.check_open(upload, self._clock())
        if upload.role is Role.PARTIAL:
            raise Forbidden("A partial upload can't be downloaded.")
        if upload.status is not Status.COMPLETED:
            raise NotCompleted
        return upload

    def file(self, upload: Upload, length: int) -> AbstractAsyncContextManager[int | None]:
        """Open a descriptor from which the kernel can send the published bytes, or None; raises Missing."""
        return self._storage.blobs.file(upload.place, length)

    def read(self, upload: Upload, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the published bytes [start, stop); raises Missing."""
        return self._storage.blobs.read(upload.place, start, stop)

    async def link(self, upload: Upload, disposition: str) -> str | None:
        """Return where anybody can get the published bytes for a while; None if the store has no such URL."""
        return await self._storage.blobs.link(upload.place, disposition, LINK_STAYS)

    @property
    def running(self) -> int:
        """Return how many bodies, joins and verifications are running."""
        return self._under_way + len(self.sweep.long)

    def stop(self) -> None:
        """Cut all running work, so that the bytes that have arrived are recorded at once."""
        self._running.stop()

    async def close(self, *, within: float = inf) -> None:
        """Make acknowledged bytes durable, for at most `within` seconds; then end the threads and close the storage."""
        settling = asyncio.ensure_future(self.records.settle_all())
        await asyncio.wait({settling}, timeout=within)
        settling.cancel()
        await asyncio.wait({settling}, timeout=CLOSING)
        if left := self.records.unsettled:
            log.warning(
                "%d uploads could not be settled; they are lost if the machine stops before the next start", left
            )
        self._threads.close()
        await self._storage.close()
        await asyncio.gather(settling, return_exceptions=True)

    async def _uncancelled(self, work: Coroutine[None, None, Upload], interruptible: Interruptible) -> Upload:
        """Do work in a task of its own. If the caller is cancelled, the work is cut short and awaited."""
        task = asyncio.ensure_future(work)
        self._under_way += 1
        with self._running.interruptible(interruptible):
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                interruptible.cut(Unavailable("The request was cancelled."))
                task.add_done_callback(disregard)
                await asyncio.wait({task})
                raise
            finally:
                self._under_way -= 1

    async def _verify(self, upload: Upload, running: RunningSha256 | None, head: bytes | None = None) -> Upload:
        """Judge and publish an upload. Only the stop of the server may cut this: rivals could delay it for ever."""
        with self._running.interruptible(Interrupt()) as interrupt:
            return await self._completion.verify(upload, running, interrupt, head=head)

    async def _remove(self, ended: Upload) -> None:
        """Record an end, then remove the bytes; on a full disk the bytes first, to make room for the record.

        Once the end is recorded it is final, even if the bytes cannot be removed now: the sweep tries that again.
        """
        try:
            ended = await self.records.end(ended)
        except Full:
            await self._storage.blobs.remove(ended.place)
            ended = await self.records.end(ended)
        await self._completion.duplicates.forget(ended)
        try:
            await self._storage.blobs.remove(ended.place)
        except StorageError as fault:
            why = shorten_ids(str(fault))
            log.warning("the bytes of %s… can't be removed yet; a later sweep removes them: %s", ended.id[:8], why)
            return
        with suppress(StorageError):  # otherwise the sweep looks once more, finds nothing, and records that
            await self.records.save(decisions.emptied(ended, limits=self.limits))

    async def _join(self, id: UploadId, *, wait: float | None) -> Upload:
        interrupt = Interrupt()
        return await self._uncancelled(self._final_uploads.advance(id, wait=wait, interrupt=interrupt), interrupt)

    async def _append(
        self, id: UploadId, request: AppendRequest, body: Body, interrupt: BodyInterrupt, limits: Limits
    ) -> Upload:
        async with AsyncExitStack() as leases:
            leased = self.records.leased(id, interrupt.give_way)
            recorded = await interrupt.wait_for(leases.enter_async_context(leased))
            if recorded.status is Status.VERIFYING and not decisions.is_expired(recorded, self._clock()):
                recorded = check_not_failed(await self._verify(recorded, None))
            upload, licence = decisions.append(recorded, request, now=self._clock(), limits=limits)
            if upload.status is Status.COMPLETED:
                nowhere = BodyWriter(self._threads, lambda block, at: None, licence, ())  # refuses any byte  # noqa: ARG005
                await body.pour(nowhere, 1, asyncio.get_running_loop().time() + EMPTY_WITHIN)
                if (announced := licence.checksum) is not None:
                    check_body(body, licence, RunningHash(ALGORITHMS[announced.algorithm].begin()))
                return upload
            claim = await self._claim(recorded, upload, request.body_size)
            leases.callback(claim.end)
            upload = await self._receive(recorded, upload, licence, body, claim)
        check_not_failed(upload)
        if body.cut_by is not None and upload.status is not Status.COMPLETED:
            raise body.cut_by
        reach("answering")
        return upload

    async def _claim(self, recorded: Upload, upload: Upload, size: int | None) -> Claim:
        """Claim room for a body; if there is none, first remove the bytes of this upload that are in no record.

        Raises StorageFull.
        """
        try:
            return await self.reserve.claim_body(recorded, upload, size)
        except StorageFull:
            if not await self._trim(upload):
                raise
        self.reserve.look_again()
        return await self.reserve.claim_body(recorded, upload, size)

    async def _trim(self, upload: Upload) -> int:
        """Remove bytes that were written but never recorded (a rejected body, a crash); return how many."""
        with suppress(StorageError):
            return await self._storage.blobs.trim(upload.place, upload.offset, self.records.holds(upload))
        return 0

    async def _receive(self, recorded: Upload, upload: Upload, licence: Licence, body: Body, claim: Claim) -> Upload:
        """Write a body and record its bytes. `recorded` is the record in the state, `upload` the one to save next."""
        blobs, running = self._storage.blobs, RunningSha256.of(recorded)
        if running is not None and not blobs.rereads:
            running.remember()
        announced = licence.checksum
        summed = RunningHash(ALGORITHMS[announced.algorithm].begin()) if announced else None
        hashes = [each for each in (running, summed) if each is not None]
        noted = BodyRecords(self.records, recorded, upload, running=running, claim=claim, body=body, count=self._count)
        body_writer, head = None, self.checks.head(upload, licence)
        try:
            ahead = Ahead(upload.length, named=self._is_named and upload.role is Role.SINGLE)
            async with blobs.open(upload.place, licence.start, self.records.holds(upload), ahead) as writer:
                write = head.tapped(claim.counted(writer.write))
                body_writer = BodyWriter(self._threads, write, licence, hashes, writer)
                position = await receive(
                    body,
                    body_writer,
                    licence,
                    writer,
                    noted.note,
                    stride=blobs.stride,
                    check_room=claim.note,
                    head=head,
                )
                place = writer.place
            if summed is not None:
                check_body(body, licence, summed)
                await head.judge(position, proved=True)
        except (Failed, Missing) as fault:
            failure = fault.failure if isinstance(fault, Failed) else LOST
            return await self.records.end(self.records.failed(noted.recorded, failure))
        except (Refusal, StorageError):
            await noted.pause()
            raise
        finally:
            if body_writer is not None:
                noted.count(body_writer.position)
        ended = await noted.end(position, place, licence)
        return await self._verify(ended, running, head.of(ended)) if ended.status is Status.VERIFYING else ended

    def _count(self, more: int) -> None:
        self.received += more
