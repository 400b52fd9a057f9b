"""Where a decision meets bytes: every act on an upload, under its lease.

The order is bytes, then record, then event, then reply. HTTP is unknown here.
"""

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

from protocol import concatenation, rules
from protocol.checksums import ALGORITHMS
from protocol.errors import (
    ChecksumMismatch,
    Forbidden,
    Gone,
    Locked,
    NotCompleted,
    Refusal,
    TooLarge,
    Unavailable,
)
from protocol.model import Append, Create, Failure, Licence, Limits, Role, Status, Upload, UploadId
from protocol.progress import progress
from server.join import Cuttable, Interruption, hash_stored, join
from server.receive import Body, RunningHash, check_body, receive
from storage.base import Held, Missing, Stale, Storage, StorageError

HASH_THREADS = 4
KEPT_HASHES = 1024
SWEEP_BATCH = 1000
log = logging.getLogger("onward")


C = TypeVar("C", bound=Cuttable)


def new_id() -> UploadId:
    """Make the id of an upload: 128 random bits."""
    return UploadId(secrets.token_hex(16))


class Engine:
    """Every act on an upload."""

    def __init__(
        self, storage: Storage, limits: Limits, *, lease_wait: float, clock: Callable[[], float] = time.time
    ) -> None:
        self.limits = limits
        self._storage, self._state = storage, storage.state
        self._lease_wait = lease_wait
        self._clock = clock
        self._pool = ThreadPoolExecutor(HASH_THREADS, "sha256")
        self._hashes: OrderedDict[tuple[UploadId, int], RunningHash] = OrderedDict()
        self._running: set[Cuttable] = set()
        self._stopping = False

    async def create(self, wish: Create, *, may_wait: bool) -> Upload:
        """Create an upload, empty as yet; `may_wait` lets a final one have unfinished parts.

        Raises TooLarge, and for a final upload Missing, Gone or BadRequest for its parts.
        """
        if wish.concat:
            parts = [await self._wanted(part) for part in wish.concat.parts]
            if parts:
                length = concatenation.check_parts(parts, now=self._clock(), limits=self.limits, may_wait=may_wait)
                wish = replace(wish, length=length)
        now, id_ = self._clock(), new_id()
        place = await self._storage.blobs.create(id_)
        upload = rules.create(wish, id=id_, place=place, now=now, limits=self.limits)
        await self._state.insert(upload)
        await self._tell(upload)
        return upload

    async def fill(self, upload: Upload, wish: Create, body: Body) -> Upload:
        """Append what the request of a creation brought along, or join the parts; raises what `append` raises."""
        if upload.role is Role.FINAL:
            return _verified(await self._joined(upload.id, wait=self._lease_wait))
        if not wish.has_body and wish.length != 0:
            return upload
        first = Append(offset=0, length=None, promised=None, body_size=wish.body_size, checksum=wish.checksum)
        return await self.append(upload.id, first, body)

    async def inspect(self, id: UploadId) -> Upload:
        """Give the state of an upload, with nobody writing to it; raises Gone."""
        upload = await self._state.load(id)
        if upload.role is Role.FINAL and not upload.status.final:
            with suppress(Held):
                upload = await self._joined(id, wait=0)
        elif not upload.status.final:
            async with self._held(id, lambda: None) as upload:
                pass
        rules.check_open(upload, self._clock())
        return upload

    async def append(self, id: UploadId, wish: Append, body: Body) -> Upload:
        """Append a body; raises what rules.append raises, ChecksumMismatch, and what cut the body short."""
        return await self._to_the_end(self._append(id, wish, body), body)

    async def terminate(self, id: UploadId) -> None:
        """End an upload and remove its bytes; raises Gone."""
        async with self._leased(id, lambda: None) as upload:
            await self._save(rules.terminated(upload, now=self._clock(), limits=self.limits))
            await self._storage.blobs.remove(upload.place)

    async def published(self, id: UploadId) -> Upload:
        """Give a completed upload; raises Gone, Forbidden or NotCompleted."""
        upload = await self._state.load(id)
        rules.check_open(upload, self._clock())
        if upload.role is Role.PARTIAL:
            raise Forbidden("A partial upload can't be downloaded.")
        if upload.status is not Status.COMPLETED:
            raise NotCompleted
        return upload

    def read(self, upload: Upload, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Give the published bytes [start, stop)."""
        return self._storage.blobs.read(upload.place, start, stop)

    async def sweep(self) -> int:
        """Tend what is due: expire, pause, finish verifying, forget; gives how many were tended."""
        due = [upload.id async for upload in self._state.due(self._clock())]
        tended = 0
        for id_ in due[:SWEEP_BATCH]:
            with suppress(Held, Stale, Missing, Locked, Unavailable), self._cuttable(Interruption()) as interruption:
                async with self._leased(id_, interruption.give_way, wait=0) as upload:
                    await self._tend(upload, interruption)
                tended += 1
        return tended

    def stop(self) -> None:
        """Cut every running body, so that what arrived is recorded at once."""
        self._stopping = True
        for work in self._running:
            work.cut(Unavailable("The server is stopping."))

    async def close(self) -> None:
        """Let go of the threads and of the storage."""
        self._pool.shutdown()
        await self._storage.close()

    @contextmanager
    def _cuttable(self, work: C) -> Iterator[C]:
        """Let the end of the server cut the work."""
        self._running.add(work)
        if self._stopping:
            work.cut(Unavailable("The server is stopping."))
        try:
            yield work
        finally:
            self._running.discard(work)

    async def _to_the_end(self, work: Coroutine[None, None, Upload], cuttable: Cuttable) -> Upload:
        task = asyncio.ensure_future(work)
        with self._cuttable(cuttable):
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                cuttable.cut(Unavailable("The request was cancelled."))
                await asyncio.wait({task})
                raise

    @asynccontextmanager
    async def _leased(
        self, id: UploadId, on_rival: Callable[[], None], *, wait: float | None = None
    ) -> AsyncIterator[Upload]:
        """Hold the lease; gives the record as it is."""
        wait = self._lease_wait if wait is None else wait
        async with self._state.hold(id, wait=wait, on_rival=on_rival) as lease:
            yield replace(await self._state.load(id), epoch=lease.epoch)

    @asynccontextmanager
    async def _held(self, id: UploadId, on_rival: Callable[[], None]) -> AsyncIterator[Upload]:
        """Hold the lease; gives the record, with an interrupted verification brought to its end."""
        async with self._leased(id, on_rival) as upload:
            yield await self._verify(upload, None) if upload.status is Status.VERIFYING else upload

    async def _wanted(self, id: UploadId) -> Upload:
        """Give a part of a final upload; a complete one is kept until it can have been joined."""
        part = await self._state.load(id)
        if part.role is not Role.PARTIAL or part.status is not Status.COMPLETED:
            return part
        async with self._leased(id, lambda: None) as part:
            rules.check_open(part, self._clock())
            return await self._save(concatenation.wanted(part, now=self._clock(), limits=self.limits))

    async def _joined(self, id: UploadId, *, wait: float) -> Upload:
        interruption = Interruption()
        return await self._to_the_end(self._settle(id, wait, interruption), interruption)

    async def _settle(self, id: UploadId, wait: float, interruption: Interruption) -> Upload:
        """Bring a final upload as far as its parts allow."""
        async with self._leased(id, interruption.give_way, wait=wait) as recorded:
            upload = await self._advanced(recorded)
            return await self._verify(upload, None, interruption) if upload.status is Status.VERIFYING else upload

    async def _advanced(self, final: Upload) -> Upload:
        if final.status is not Status.PENDING:
            return final
        parts = await self._parts(final)
        now = self._clock()
        if parts is None:
            return await self._save(rules.failed(final, Failure.PART_GONE, now=now, limits=self.limits))
        advanced = concatenation.advanced(final, parts, now=now, limits=self.limits)
        waits = advanced.status is final.status and advanced.length == final.length
        return final if waits and final.due and final.due > now else await self._save(advanced)

    async def _parts(self, final: Upload) -> list[Upload] | None:
        """Give the parts of a final upload, None where one is forgotten."""
        try:
            return [await self._state.load(part) for part in (final.concat.parts if final.concat else ())]
        except Missing:
            return None

    async def _release(self, final: Upload) -> None:
        """Let the parts of a sealed upload go; where that fails, they go when they expire."""
        for id_ in set(final.concat.parts if final.concat else ()):
            with suppress(StorageError):
                async with self._leased(id_, lambda: None) as part:
                    if part.status is Status.COMPLETED:
                        await self._save(concatenation.released(part, now=self._clock(), limits=self.limits))

    async def _append(self, id: UploadId, wish: Append, body: Body) -> Upload:
        async with self._held(id, lambda: body.cut(Locked("Another request took the upload over."))) as recorded:
            upload, licence = rules.append(recorded, wish, now=self._clock(), limits=self.limits)
            if upload.status is Status.COMPLETED:
                if await body.block(1, asyncio.get_running_loop().time() + self._lease_wait):
                    raise TooLarge("The upload is completed.")
                return upload
            upload = await self._receive(recorded, upload, licence, body)
        _verified(upload)
        if body.cut_by is not None and upload.status is not Status.COMPLETED:
            raise body.cut_by
        return upload

    async def _receive(self, recorded: Upload, upload: Upload, licence: Licence, body: Body) -> Upload:
        running = self._hashes.pop((upload.id, upload.version), None)
        if licence.start == 0:
            running = RunningHash(self._pool)
        announced = licence.checksum
        summed = RunningHash(self._pool, ALGORITHMS[announced.algorithm].begin) if announced else None
        hashes = [each for each in (running, summed) if each is not None]
        since = self._clock()

        async def note(offset: int) -> None:
            nonlocal recorded, upload, since
            now = self._clock()
            recorded = upload = await self._save(
                rules.received(upload, offset, now=now, since=since, limits=self.limits)
            )
            since = now

        try:
            async with self._storage.blobs.open(upload.place, licence.start) as sink:
                offset = await receive(body, sink, licence, hashes, note)
            if summed is not None:
                check_body(body, licence, summed)
        except Missing:
            return await self._save(rules.failed(recorded, Failure.LOST, now=self._clock(), limits=self.limits))
        except (Refusal, StorageError):
            if recorded.status is Status.UPLOADING:
                with suppress(StorageError):
                    await self._save(rules.paused(recorded, now=self._clock(), limits=self.limits))
            raise
        cut = body.cut_by is not None
        upload = await self._save(
            rules.ended(upload, offset, now=self._clock(), since=since, limits=self.limits, cut=cut)
        )
        if upload.status is Status.VERIFYING:
            return await self._verify(upload, running)
        if running is not None and running.offset == offset:
            self._hashes[upload.id, upload.version] = running
            while len(self._hashes) > KEPT_HASHES:
                self._hashes.popitem(last=False)
        return upload

    async def _verify(
        self, upload: Upload, running: RunningHash | None, interruption: Interruption | None = None
    ) -> Upload:
        """Judge a full upload and publish it, unless it is a part; gives it completed or failed."""
        now, place = self._clock, upload.place
        interruption = interruption or Interruption()
        try:
            if upload.role is Role.FINAL:
                running = RunningHash(self._pool)
                parts = await self._parts(upload)
                if parts is None:
                    raise Missing(upload.id)
                await join(self._storage.blobs, place, parts, running, interruption.check)
            elif running is None or running.offset != upload.offset:
                running = RunningHash(self._pool)
                await hash_stored(self._storage.blobs, place, upload.offset, running, interruption.check)
            sha256 = running.digest()
            rules.judge(upload, sha256)
            if upload.role is not Role.PARTIAL:
                place = await self._storage.blobs.seal(place, upload.offset)
        except ChecksumMismatch:
            failed = rules.failed(upload, Failure.CHECKSUM_MISMATCH, now=now(), limits=self.limits, sha256=sha256)
            return await self._save(failed)
        except Missing:
            failure = Failure.PART_GONE if upload.role is Role.FINAL else Failure.LOST
            return await self._save(rules.failed(upload, failure, now=now(), limits=self.limits))
        upload = await self._save(rules.completed(upload, sha256=sha256, place=place, now=now(), limits=self.limits))
        await self._release(upload)
        return upload

    async def _tend(self, upload: Upload, interruption: Interruption) -> None:
        now = self._clock()
        if upload.due is None or upload.due > now:
            return
        if rules.is_expired(upload, now):
            await self._save(rules.expired(upload, now=now, limits=self.limits))
            await self._storage.blobs.remove(upload.place)
        elif upload.status is Status.VERIFYING or (upload.role is Role.FINAL and upload.status is Status.PENDING):
            upload = await self._advanced(upload)
            if upload.status is Status.VERIFYING:
                await self._verify(upload, None, interruption)
        elif upload.status is Status.UPLOADING:
            await self._save(rules.paused(upload, now=now, limits=self.limits))
        else:
            await self._storage.blobs.remove(upload.place)
            await self._state.forget(upload.id)

    async def _save(self, upload: Upload) -> Upload:
        before = upload.status
        saved = await self._state.save(upload)
        if before.final or before is Status.VERIFYING:
            log.info("upload %s… is %s at %d of %s", saved.id[:8], saved.status, saved.offset, saved.length)
        await self._tell(saved)
        return saved

    async def _tell(self, upload: Upload) -> None:
        await self._state.publish(progress(upload))


def _verified(upload: Upload) -> Upload:
    """Refuse what has failed; raises ChecksumMismatch or Gone."""
    if upload.failure is Failure.CHECKSUM_MISMATCH and upload.sha256:
        raise ChecksumMismatch(f"The bytes have the SHA-256 {upload.sha256.hex()}.")
    if upload.failure is not None:
        raise Gone(f"The upload failed: {upload.failure}.")
    return upload
