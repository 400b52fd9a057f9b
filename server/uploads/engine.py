"""Where a decision meets bytes: every act on an upload, under its lease.

The order is bytes, then record, then event, then reply. HTTP is unknown here.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from math import inf

from msgspec.structs import replace

from onward.protocol import decisions
from onward.protocol.checksums import ALGORITHMS
from onward.protocol.errors import Forbidden, Gone, NotCompleted, Refusal, Unavailable
from onward.protocol.model import AppendRequest, CreateRequest, Failure, Licence, Limits, Role, Status, Upload, UploadId
from onward.server.uploads.body_writer import BodyThreads, BodyWriter
from onward.server.uploads.clock import Clock
from onward.server.uploads.completion import Completion
from onward.server.uploads.final_uploads import FinalUploads
from onward.server.uploads.hashing import RunningHash, RunningSha256
from onward.server.uploads.interrupt import BodyInterrupt, Interrupt, Interruptible, Running
from onward.server.uploads.receive import Body, check_body, receive
from onward.server.uploads.records import UploadRecords, verified
from onward.server.uploads.reserve import Claim, Reserve
from onward.server.uploads.sweep import Sweep
from onward.storage.base import Full, Held, Missing, Storage, StorageError
from onward.storage.failpoints import reach
from onward.storage.running.uncancellable import disregard

EMPTY_WITHIN = 1.0  # seconds in which a byte too much is waited for; none that comes later is taken either
CLOSING = 0.25  # seconds that work which was told to end may take; closing the storage ends what does not
log = logging.getLogger("onward")


def new_id() -> UploadId:
    """Make the id of an upload: 128 random bits."""
    return UploadId(secrets.token_hex(16))


class Engine:
    """Every act on an upload; `boot` names the run of the machine."""

    def __init__(
        self,
        storage: Storage,
        limits: Limits,
        *,
        lease_wait: float,
        boot: str = "",
        clock: Clock | None = None,
    ) -> None:
        self.limits = limits
        self.records = UploadRecords(storage, limits, lease_wait=lease_wait, boot=boot, clock=clock)
        self._storage = storage
        self._clock = self.records.clock
        self._threads = BodyThreads()
        self.reserve = Reserve(storage, limits.reserve)
        self._completion = Completion(self.records, self.reserve)
        self._final_uploads = FinalUploads(self.records, self._completion)
        self._running, self._under_way = Running(), 0
        self.upkeep = Sweep(self.records, self._completion, self._final_uploads, self._running, self._removed)
        self.received = 0

    async def create(self, request: CreateRequest, *, may_wait: bool, limits: Limits | None = None) -> Upload:
        """Create an upload, empty as yet; `may_wait` lets a final one have unfinished parts.

        Raises TooLarge, StorageFull, and for a final upload Missing, Gone or BadRequest for its parts.
        """
        size = request.body_size or 0 if request.length is None else request.length
        if request.concat and request.concat.parts:
            length, lengths = await self._final_uploads.wanted(request.concat.parts, may_wait=may_wait)
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
        """Append what the request of a creation brought along, or join the parts; raises what `append` raises."""
        if upload.role is Role.FINAL:
            return verified(await self._joined(upload.id, wait=None))
        if not request.has_body and request.length != 0:
            return upload
        first = AppendRequest(
            offset=0, length=None, promised=None, body_size=request.body_size, checksum=request.checksum
        )
        return await self.append(upload.id, first, body, limits=limits)

    async def inspect(self, id: UploadId) -> Upload:
        """Give the state of an upload, with nobody writing to it; raises Gone."""
        resting = await self.records.at_rest(id)
        upload = resting or await self.records.load(id)
        if upload.role is Role.FINAL and not upload.status.final:
            with suppress(Held):
                upload = await self._joined(id, wait=0)
        elif not upload.status.final and (resting is None or upload.status is Status.VERIFYING):
            async with self.records.leased(id, lambda: None) as held:
                upload = await self._ended(held)
        decisions.check_open(upload, self._clock())
        return upload

    async def append(self, id: UploadId, request: AppendRequest, body: Body, *, limits: Limits | None = None) -> Upload:
        """Append a body; raises what decisions.append raises, ChecksumMismatch, and what cut the body short."""
        interrupt = BodyInterrupt(body)
        return await self._to_the_end(self._append(id, request, body, interrupt, limits or self.limits), interrupt)

    async def terminate(self, id: UploadId) -> None:
        """End an upload and remove its bytes; raises Gone."""
        async with self.records.leased(id, lambda: None) as upload:
            if decisions.is_expired(upload, self._clock()):
                raise Gone("The upload was expired.")
            await self._removed(decisions.terminated(upload, now=self._clock(), limits=self.limits))

    async def published(self, id: UploadId) -> Upload:
        """Give a completed upload; raises Gone, Forbidden or NotCompleted."""
        upload = await self.records.load(id)
        decisions.check_open(upload, self._clock())
        if upload.role is Role.PARTIAL:
            raise Forbidden("A partial upload can't be downloaded.")
        if upload.status is not Status.COMPLETED:
            raise NotCompleted
        return upload

    def file(self, upload: Upload, length: int) -> AbstractAsyncContextManager[int | None]:
        """Give a descriptor that the kernel can send the first published bytes from, if there is one."""
        return self._storage.blobs.file(upload.place, length)

    def read(self, upload: Upload, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Give the published bytes [start, stop)."""
        return self._storage.blobs.read(upload.place, start, stop)

    async def sweep(self) -> int:
        """Tend what is due: expire, pause, settle, finish verifying, forget; gives how many were tended."""
        return await self.upkeep.all()

    @property
    def running(self) -> int:
        """Give how many bodies, joins and verifications are under way."""
        return self._under_way + len(self.upkeep.long)

    def stop(self) -> None:
        """Cut every running body, so that what arrived is recorded at once."""
        self._running.stop()

    async def close(self, *, within: float = inf) -> None:
        """Make durable what was told, as far as it can be done in so many seconds; let go of threads and storage."""
        settling = asyncio.ensure_future(self.records.settle_all())
        await asyncio.wait({settling}, timeout=within)
        settling.cancel()
        await asyncio.wait({settling}, timeout=CLOSING)
        if left := self.records.unsettled:
            log.warning("%d uploads could not be settled; their records tell whose memory has their last bytes", left)
        self._threads.close()
        await self._storage.close()
        await asyncio.gather(settling, return_exceptions=True)

    async def _to_the_end(self, work: Coroutine[None, None, Upload], interruptible: Interruptible) -> Upload:
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

    async def _ended(self, upload: Upload) -> Upload:
        """Bring an interrupted verification to its end, if there is one."""
        return await self._verified(upload, None) if upload.status is Status.VERIFYING else upload

    async def _verified(self, upload: Upload, running: RunningSha256 | None) -> Upload:
        """Bring a full upload to its end; only that of the server cuts it short: for rivals it might never come."""
        with self._running.interruptible(Interrupt()) as interrupt:
            return await self._completion.verify(upload, running, interrupt)

    async def _removed(self, ended: Upload) -> None:
        """Record an end, and remove the bytes; on a full disk they make room for the record first."""
        try:
            await self.records.end(ended)
        except Full:
            await self._storage.blobs.remove(ended.place)
            await self.records.end(ended)
        await self._storage.blobs.remove(ended.place)

    async def _joined(self, id: UploadId, *, wait: float | None) -> Upload:
        interrupt = Interrupt()
        return await self._to_the_end(self._final_uploads.settle(id, wait=wait, interrupt=interrupt), interrupt)

    async def _append(
        self, id: UploadId, request: AppendRequest, body: Body, interrupt: BodyInterrupt, limits: Limits
    ) -> Upload:
        async with AsyncExitStack() as leases:
            leased = self.records.leased(id, interrupt.give_way)
            recorded = await self._ended(await interrupt.come(leases.enter_async_context(leased)))
            upload, licence = decisions.append(recorded, request, now=self._clock(), limits=limits)
            if upload.status is Status.COMPLETED:
                nowhere = BodyWriter(self._threads, lambda block, at: None, licence, ())  # refuses any byte  # noqa: ARG005
                await body.pour(nowhere, 1, asyncio.get_running_loop().time() + EMPTY_WITHIN)
                if (told := licence.checksum) is not None:
                    check_body(body, licence, RunningHash(ALGORITHMS[told.algorithm].begin()))
                return upload
            claim = await self.reserve.body(recorded, upload, request.body_size)
            leases.callback(claim.end)
            upload = await self._receive(recorded, upload, licence, body, claim)
        verified(upload)
        if body.cut_by is not None and upload.status is not Status.COMPLETED:
            raise body.cut_by
        reach("answering")
        return upload

    async def _receive(self, recorded: Upload, upload: Upload, licence: Licence, body: Body, claim: Claim) -> Upload:
        running = RunningSha256.of(recorded)
        announced = licence.checksum
        summed = RunningHash(ALGORITHMS[announced.algorithm].begin()) if announced else None
        hashes = [each for each in (running, summed) if each is not None]
        began, counted = self._clock.elapsed(), licence.start

        def count(position: int) -> None:
            nonlocal counted
            self.received, counted = self.received + position - counted, position

        def since_last(now: float) -> float:
            """Give when the last bytes were recorded; measured, since the clock may have been set meanwhile."""
            nonlocal began
            took, began = self._clock.elapsed() - began, self._clock.elapsed()
            return now - took

        async def note(offset: int) -> None:
            nonlocal recorded, upload
            count(offset)
            now, hashing = self._clock(), running.state(offset) if running else None
            told = decisions.received(
                self.records.carried(upload),
                offset,
                now=now,
                since=since_last(now),
                limits=self.limits,
                hashing=hashing,
            )
            recorded = upload = await self.records.save(told)
            await claim.note()

        body_writer: BodyWriter | None = None
        try:
            async with self._storage.blobs.open(upload.place, licence.start, self.records.holds(upload)) as writer:
                sync = None if self._storage.durability.relaxed else writer.sync
                body_writer = BodyWriter(self._threads, claim.counted(writer.write), licence, hashes)
                offset = await receive(body, body_writer, licence, sync, note)
            if summed is not None:
                check_body(body, licence, summed)
        except Missing:
            return await self.records.end(self.records.failed(recorded, Failure.LOST))
        except (Refusal, StorageError):
            if recorded.status is Status.UPLOADING:
                with suppress(StorageError):
                    paused = decisions.paused(self.records.carried(recorded), now=self._clock(), limits=self.limits)
                    await self.records.save(paused)
            raise
        finally:
            if body_writer is not None:
                count(body_writer.position)
        cut = body.cut_by is not None
        hashing = running.state(offset) if running else None
        now, upload = self._clock(), self.records.carried(upload)
        since = since_last(now)
        ended = decisions.ended(upload, offset, now=now, since=since, limits=self.limits, cut=cut, hashing=hashing)
        upload = await self.records.save(ended)
        if upload.status is Status.VERIFYING:
            return await self._verified(upload, running)
        return upload
