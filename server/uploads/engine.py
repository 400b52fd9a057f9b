"""All that can be done with an upload, as one class: create, append, inspect, terminate, read.

`server/http` calls it with requests that a dialect has read; HTTP itself is unknown here. `protocol/decisions.py` says
what is allowed and what the next record is; the engine holds the lease, moves the bytes and saves the records. The
order is always: bytes, then record, then event, then reply.

A PATCH, from the call to the file and the record:

    append                       in a task of its own, which a disconnect of the client does not cancel
      _append                    wait for the lease, which asks the holder to end       records.py, interrupt.py
        decisions.append         the licence: which bytes may be written; or a refusal
        ShortUploads.fill        all that follows, in one step, if the body brings a short upload whole   short.py
        claim_quota              a claim on the owner's quota; or a refusal               quotas.py
        claim                    a claim on the free room; or a refusal                 bodies.py, reserve.py
        receive                  open the place, continue the saved hash                bodies.py
          receive                stride by stride: bytes, sync, record                  receive.py
            body.pour            blocks from the socket, or from aiohttp's stream       server/http/transport/body.py
              BodyWriter.take    each block: written to the file, and hashed            body_writer.py, hashing.py
            BodyRecords.note     decisions.received, then save; watchers are notified   body_records.py
          BodyRecords.end        decisions.ended, the record at the end of this body
        _verify                  if that was the last byte: hash, judge, publish        completion.py
      the upload, or what made it fail (check_not_failed), or what cut the body short
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from math import inf

from msgspec.structs import replace

from onward.protocol import decisions
from onward.protocol.errors import (
    Forbidden,
    Gone,
    InconsistentLength,
    LengthExceeded,
    NotCompleted,
    Unavailable,
    Unchecked,
)
from onward.protocol.model import AppendRequest, CreateRequest, Limits, Role, Status, Upload, UploadId
from onward.server.uploads.bodies import Bodies
from onward.server.uploads.checks import Check
from onward.server.uploads.checks.asking import Checks
from onward.server.uploads.clock import Clock
from onward.server.uploads.completion import Completion
from onward.server.uploads.concatenation import FinalUploads
from onward.server.uploads.hashing import RunningSha256
from onward.server.uploads.interrupt import BodyInterrupt, Interrupt, Interruptible, Running
from onward.server.uploads.measures import CREATE, REMOVE
from onward.server.uploads.publishing import AS_IDS, PUBLISHED, Publishing
from onward.server.uploads.quotas import BodyClaims, claim_quota, refused
from onward.server.uploads.receive import Body
from onward.server.uploads.records import UploadRecords, check_not_failed
from onward.server.uploads.reserve import Reserve
from onward.server.uploads.short_uploads import MemoryBody, ShortUploads
from onward.server.uploads.sweep import Sweep
from onward.storage.base import Exceeded, Full, Held, Storage, StorageError
from onward.storage.failpoints import reach
from onward.storage.failure_log import shorten_ids
from onward.storage.random_ids import random_id
from onward.storage.running.uncancellable import disregard

LINK_STAYS = 3600  # seconds
CLOSING = 0.25  # seconds that cancelled work may take to end; what takes longer ends when the storage is closed
log = logging.getLogger("onward")


def new_id() -> UploadId:
    """Make the id of an upload: 128 random bits."""
    return UploadId(random_id())


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
        self.reserve = Reserve(storage, limits.reserve)
        self.checks = Checks(checks, storage.blobs)
        self.records.checks = (*self.checks.names, *((PUBLISHED,) if publishing.outside else ()))
        self._publishing = publishing
        self._completion = Completion(self.records, self.reserve, self.checks, publishing)
        self._final_uploads = FinalUploads(self.records, self._completion)
        self._bodies = Bodies(
            self.records, self.reserve, self.checks, is_named=publishing.layout is None and not checks
        )
        self._running, self._under_way = Running(), 0
        self.short = ShortUploads(self.records, self.reserve, publishing, self._running)
        self.sweep = Sweep(self.records, self._completion, self._final_uploads, self._running, self._remove)

    async def create(
        self, request: CreateRequest, *, limits: Limits | None = None, id: UploadId | None = None
    ) -> Upload:
        """Create an upload without bytes. `limits` are those of this request, if they differ from the server's own.

        `id` is the one that a key stands for (create_once.py). Raises TooLarge, StorageFull, Crowded, Stale if there is
        an upload with this id, and for a final upload Missing, Gone or BadRequest for its parts.
        """
        size = request.body_size or 0 if request.length is None else request.length
        if request.concat and request.concat.parts:
            length, lengths = await self._final_uploads.keep_parts(request.concat.parts, may_wait=request.may_wait)
            request, size = replace(request, length=length), await self.reserve.joined_size(lengths)
        now, id_ = self._clock(), id or new_id()
        place = await self.records.measures.time(CREATE, self._storage.blobs.create(id_))
        upload = decisions.create(request, id=id_, place=place, now=now, limits=limits or self.limits)
        await self.reserve.promise(size)
        try:
            return await self.records.insert(upload)
        except Exceeded as fault:
            raise refused(fault, upload) from fault
        finally:
            self.reserve.recorded(size)

    async def fill(self, upload: Upload, request: CreateRequest, body: Body, *, limits: Limits | None = None) -> Upload:
        """Append the body of the creation request, or join the parts; raises what `append` raises."""
        if upload.role is Role.FINAL:
            return check_not_failed(await self._join(upload.id, wait=None))
        if not request.has_body and request.length != 0:
            return upload
        first = AppendRequest(
            offset=0,
            length=None,
            promised=None,
            body_size=request.body_size,
            checksum=request.checksum,
            completes=request.completes,
            needs_end=request.needs_end,
            excess_fails=request.excess_fails,
        )
        return await self.append(upload.id, first, body, limits=limits)

    async def inspect(self, id: UploadId, *, finish: bool = True) -> Upload:
        """Return the record of an upload while no request is changing it; raises Missing, Held, Gone or Unchecked.

        `finish`: finish an upload whose bytes are all there before its offset is told, since the client will take it
        for finished. Unchecked is raised only then. Otherwise one that is open, or held by a check, is told as it is.
        """
        resting = await self.records.at_rest(id)
        upload = resting or await self.records.load(id)
        if upload.status is Status.VERIFYING and self._takes_long(upload):
            if resting is None or upload.held_until is None:  # no request may be working on it
                self.sweep.long.add(id)
            try:
                upload = await self._completion.outcome(id)
            except Unchecked:
                if finish:
                    raise
        elif upload.role is Role.FINAL and not upload.status.final:
            with suppress(Held):
                upload = await self._join(id, wait=0)
        elif not upload.status.final and (
            resting is None or upload.status is Status.VERIFYING or (finish and decisions.is_filled(upload))
        ):
            upload = await self._finish(id, finish=finish)
            if upload.status is Status.VERIFYING:  # it takes long
                return await self.inspect(id, finish=finish)
        decisions.check_open(upload, self._clock())
        return upload

    async def append(self, id: UploadId, request: AppendRequest, body: Body, *, limits: Limits | None = None) -> Upload:
        """Append a body, as far as it arrives, and publish the upload if it is complete then.

        Raises what `decisions.append` raises, Missing or Held for the lease, QuotaExceeded, StorageFull, BodyMismatch,
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

    async def abandon(self, id: UploadId) -> None:
        """End an upload that nobody can go on with, unless it is whole; raises Missing, Held and StorageError."""
        async with self.records.leased(id, lambda: None) as upload:
            if not upload.status.final and upload.status is not Status.VERIFYING:
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

    def arrived(self, id: UploadId) -> int:
        """Return up to which position bytes of an upload have arrived here, stored or not; 0 if no body is running."""
        return self._bodies.arrived(id)

    @property
    def received(self) -> int:
        """Return how many bytes of bodies were stored."""
        return self._bodies.received + self.short.received

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
        self._bodies.close()
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

    async def _finish(self, id: UploadId, *, finish: bool) -> Upload:
        """Take the lease, and return the record; verify the upload if all bytes are there and that is short."""
        async with self.records.leased(id, lambda: None) as held:
            upload, running = held, RunningSha256.of(held)
            if finish and decisions.is_filled(upload):
                filled = decisions.filled(upload, now=self._clock(), limits=self.limits)
                upload = await self.records.save(self.records.to_check(filled))
            if upload.status is Status.VERIFYING and not self._takes_long(upload):
                upload = await self._verify(upload, running)
        return upload

    def _takes_long(self, upload: Upload) -> bool:
        """Return whether a whole upload has checks, or goes to a bucket; requests for its offset do not wait for it."""
        return self.checks.concern(upload) or self._publishing.concerns(upload)

    async def _verify(
        self, upload: Upload, running: RunningSha256 | None, head: bytes | None = None, *, last: bool = False
    ) -> Upload:
        """Judge and publish an upload. Only the stop of the server may cut this: rivals could delay it for ever."""
        with self._running.interruptible(Interrupt()) as interrupt:
            return await self._completion.verify(upload, running, interrupt, head=head, last=last)

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
            await self.records.measures.time(REMOVE, self._storage.blobs.remove(ended.place))
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
            try:
                upload, licence = decisions.append(recorded, request, now=self._clock(), limits=limits)
            except LengthExceeded:
                await self._bodies.note_excess(recorded, request)
                raise
            if upload.status is Status.COMPLETED:
                await self._bodies.check_empty(body, licence)
                return upload
            if isinstance(body, MemoryBody) and (stored := await self.short.fill(recorded, upload, request, body.data)):
                reach("answering")
                return stored
            holds = self.records.holds(upload)
            quota_claim = await leases.enter_async_context(
                claim_quota(self._storage, recorded, upload, request.body_size, holds)
            )
            claim = await self._bodies.claim(recorded, upload, request.body_size)
            leases.callback(claim.end)
            if upload.length != recorded.length and licence.checksum is None:
                upload = recorded = await self.records.save(upload)
            claims = BodyClaims(claim, quota_claim)
            upload, running, head = await self._bodies.receive(recorded, upload, licence, body, claims)
            if upload.status is Status.VERIFYING:
                upload = await self._verify(upload, running, head, last=claims.last)
        check_not_failed(upload)
        if body.cut_by is not None and upload.status is not Status.COMPLETED:
            raise body.cut_by
        if licence.completes and upload.status is not Status.COMPLETED:
            raise InconsistentLength(f"The body ended at {upload.offset}, but the length is {upload.length}.")
        reach("answering")
        return upload
