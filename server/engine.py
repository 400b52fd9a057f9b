"""Where a decision meets bytes: every act on an upload, under its lease.

The order is bytes, then record, then event, then reply. HTTP is unknown here.
"""

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from protocol import rules
from protocol.errors import ChecksumMismatch, Gone, Locked, NotCompleted, TooLarge, Unavailable
from protocol.model import Append, Create, Failure, Licence, Limits, Status, Upload, UploadId
from protocol.progress import progress
from server.receive import Body, RunningHash, receive
from storage.base import Held, Missing, Stale, Storage, StorageError

HASH_THREADS = 4
KEPT_HASHES = 1024
SWEEP_BATCH = 1000
log = logging.getLogger("onward")


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
        self._bodies: set[Body] = set()
        self._stopping = False

    async def create(self, wish: Create, body: Body) -> Upload:
        """Create an upload and append what the request brings along; raises TooLarge and what `append` raises."""
        now, id_ = self._clock(), new_id()
        place = await self._storage.blobs.create(id_)
        upload = rules.create(wish, id=id_, place=place, now=now, limits=self.limits)
        await self._state.insert(upload)
        await self._tell(upload)
        if not wish.has_body and wish.length != 0:
            return upload
        return await self.append(id_, Append(offset=0, length=None, promised=None, body_size=wish.body_size), body)

    async def inspect(self, id: UploadId) -> Upload:
        """Give the state of an upload, with nobody writing to it; raises Gone."""
        upload = await self._state.load(id)
        if not upload.status.final:
            async with self._held(id, lambda: None) as upload:
                pass
        rules.check_open(upload, self._clock())
        return upload

    async def append(self, id: UploadId, wish: Append, body: Body) -> Upload:
        """Append a body; raises what rules.append raises, ChecksumMismatch, and what cut the body short."""
        return await self._to_the_end(self._append(id, wish, body), body)

    async def terminate(self, id: UploadId) -> None:
        """End an upload and remove its bytes; raises Gone."""
        async with self._held(id, lambda: None) as upload:
            await self._save(rules.terminated(upload, now=self._clock(), limits=self.limits))
            await self._storage.blobs.remove(upload.place)

    async def published(self, id: UploadId) -> Upload:
        """Give a completed upload; raises Gone or NotCompleted."""
        upload = await self._state.load(id)
        rules.check_open(upload, self._clock())
        if upload.status is not Status.COMPLETED:
            raise NotCompleted
        return upload

    def read(self, upload: Upload, start: int, stop: int) -> AsyncIterator[bytes]:
        """Give the published bytes [start, stop)."""
        return self._storage.blobs.read(upload.place, start, stop)

    async def sweep(self) -> int:
        """Tend what is due: expire, pause, finish verifying, forget; gives how many were tended."""
        due = [upload.id async for upload in self._state.due(self._clock())]
        tended = 0
        for id_ in due[:SWEEP_BATCH]:
            with suppress(Held, Stale, Missing):
                async with self._state.hold(id_, wait=0, on_rival=lambda: None) as lease:
                    await self._tend(replace(await self._state.load(id_), epoch=lease.epoch))
                tended += 1
        return tended

    def stop(self) -> None:
        """Cut every running body, so that what arrived is recorded at once."""
        self._stopping = True
        for body in self._bodies:
            body.cut(Unavailable("The server is stopping."))

    async def close(self) -> None:
        """Let go of the threads and of the storage."""
        self._pool.shutdown()
        await self._storage.close()

    async def _to_the_end(self, work: Coroutine[None, None, Upload], body: Body) -> Upload:
        task = asyncio.ensure_future(work)
        self._bodies.add(body)
        if self._stopping:
            body.cut(Unavailable("The server is stopping."))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            body.cut(Unavailable("The request was cancelled."))
            await asyncio.wait({task})
            raise
        finally:
            self._bodies.discard(body)

    @asynccontextmanager
    async def _held(self, id: UploadId, on_rival: Callable[[], None]) -> AsyncIterator[Upload]:
        """Hold the lease; gives the record, with what was left half done brought to its end."""
        async with self._state.hold(id, wait=self._lease_wait, on_rival=on_rival) as lease:
            upload = replace(await self._state.load(id), epoch=lease.epoch)
            if upload.status is Status.VERIFYING:
                upload = await self._verify(upload, None)
            yield upload

    async def _append(self, id: UploadId, wish: Append, body: Body) -> Upload:
        async with self._held(id, lambda: body.cut(Locked("Another request took the upload over."))) as recorded:
            upload, licence = rules.append(recorded, wish, now=self._clock(), limits=self.limits)
            if upload.status is Status.COMPLETED:
                if await body.block(1, asyncio.get_running_loop().time() + self._lease_wait):
                    raise TooLarge("The upload is completed.")
                return upload
            upload = await self._receive(recorded, upload, licence, body)
        if upload.failure is Failure.CHECKSUM_MISMATCH and upload.sha256:
            raise ChecksumMismatch(f"The bytes have the SHA-256 {upload.sha256.hex()}.")
        if upload.status is Status.FAILED:
            raise Gone("Stored bytes were lost.")
        if body.cut_by is not None and upload.status is not Status.COMPLETED:
            raise body.cut_by
        return upload

    async def _receive(self, recorded: Upload, upload: Upload, licence: Licence, body: Body) -> Upload:
        running = self._hashes.pop((upload.id, upload.version), None)
        if licence.start == 0:
            running = RunningHash(self._pool)
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
                offset = await receive(body, sink, licence, running, note)
        except Missing:
            return await self._save(rules.failed(recorded, Failure.LOST, now=self._clock(), limits=self.limits))
        except (TooLarge, StorageError):
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

    async def _verify(self, upload: Upload, running: RunningHash | None) -> Upload:
        """Judge a full upload and publish it; gives it completed or failed."""
        now = self._clock
        try:
            if running is None or running.offset != upload.offset:
                running = RunningHash(self._pool)
                async for block in self._storage.blobs.read(upload.place, 0, upload.offset):
                    await running.update(block)
            sha256 = running.digest()
            rules.judge(upload, sha256)
            place = await self._storage.blobs.seal(upload.place, upload.offset)
        except ChecksumMismatch:
            failed = rules.failed(upload, Failure.CHECKSUM_MISMATCH, now=now(), limits=self.limits, sha256=sha256)
            return await self._save(failed)
        except Missing:
            return await self._save(rules.failed(upload, Failure.LOST, now=now(), limits=self.limits))
        return await self._save(rules.completed(upload, sha256=sha256, place=place, now=now(), limits=self.limits))

    async def _tend(self, upload: Upload) -> None:
        now = self._clock()
        if upload.due is None or upload.due > now:
            return
        if rules.is_expired(upload, now):
            await self._save(rules.expired(upload, now=now, limits=self.limits))
            await self._storage.blobs.remove(upload.place)
        elif upload.status is Status.VERIFYING:
            await self._verify(upload, None)
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
