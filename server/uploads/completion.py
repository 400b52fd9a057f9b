"""From the last byte to the published file.

    all bytes are there       the record says `verifying`
      -> hash                 usually known, since it was computed while the body arrived; otherwise the bytes are read
      -> judge                the SHA-256 against the one that the client announced, if it did
      -> seal                 the bytes get their final name (not for a part, which is only made durable)
      -> record               `completed`, or `failed`

Each step may be repeated. After a crash in between the record still says `verifying`, and the next request for the
upload, or the sweep, calls `Completion.verify` again. The bytes of a final upload are first joined from its parts.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

from onward.protocol import concatenation, decisions
from onward.protocol.errors import Failed
from onward.protocol.model import LOST, PART_GONE, Place, Role, Status, Upload
from onward.server.uploads.hashing import RunningHash, RunningSha256
from onward.server.uploads.interrupt import Interrupt
from onward.server.uploads.records import UploadRecords
from onward.server.uploads.reserve import Reserve
from onward.storage.base import Blobs, Missing, StorageError
from onward.storage.failpoints import reach
from onward.storage.running.uncancellable import disregard, uncancellable


class Completion:
    """Verifies and publishes uploads whose bytes are all there; the caller holds the lease."""

    def __init__(self, records: UploadRecords, reserve: Reserve) -> None:
        self._records, self._reserve = records, reserve
        self._blobs = records.storage.blobs

    async def verify(self, upload: Upload, running: RunningSha256 | None, interrupt: Interrupt) -> Upload:
        """Judge an upload and publish it, unless it is a part; returns it completed or failed.

        Raises what cuts the work short (see `Interrupt`) and StorageError; then it may be repeated.
        """
        records, place = self._records, upload.place
        try:
            running = await self._hash(upload, running, interrupt)
            sha256 = running.digest()
            decisions.judge(upload, sha256)
            reach("judged")
            acknowledged = bool(upload.volatile and upload.offset) and upload.role is not Role.FINAL
            if upload.role is not Role.PARTIAL:
                place = await self._blobs.seal(
                    place, upload.offset, records.holds(upload), acknowledged=acknowledged, check=interrupt.check
                )
            elif acknowledged:
                await self._blobs.sync(place)
        except Failed as judged:
            return await records.end(records.failed(upload, judged.failure, sha256))
        except Missing:
            failure = PART_GONE if upload.role is Role.FINAL else LOST
            return await records.end(records.failed(upload, failure))
        completed = decisions.completed(upload, sha256=sha256, place=place, now=records.clock(), limits=records.limits)
        upload = await records.end(completed)
        await self._release(upload)
        return upload

    async def _hash(self, upload: Upload, running: RunningSha256 | None, interrupt: Interrupt) -> RunningSha256:
        """Return the hash of all bytes: join and hash the parts, or read stored bytes if the hash is not known yet."""
        if upload.role is Role.FINAL:
            running = RunningSha256()
            parts = await self._records.parts(upload)
            if parts is None:
                raise Missing(upload.id)
            with self._reserve.claim_join(await self._reserve.joined_size([part.offset for part in parts])):
                await join(self._blobs, upload.place, parts, running, interrupt.check)
        elif running is None or running.offset != upload.offset:
            running = RunningSha256()
            await hash_stored(self._blobs, upload.place, upload.offset, running, interrupt.check, fresh=True)
        return running

    async def _release(self, final: Upload) -> None:
        """Let the parts of a published upload be removed soon; if that fails, they are removed when they expire."""
        for id_ in set(final.concat.parts if final.concat else ()):
            try:
                async with self._records.leased(id_, lambda: None) as part:
                    if part.status is Status.COMPLETED:
                        now, limits = self._records.clock(), self._records.limits
                        await self._records.save(concatenation.released(part, now=now, limits=limits))
            except StorageError:
                continue


async def hash_stored(
    blobs: Blobs, place: Place, length: int, running: RunningHash, check: Callable[[], None], *, fresh: bool
) -> None:
    """Add the first bytes of a place to a hash; `check` is called between the steps and may raise. Raises Missing."""
    if not length:  # there may be no file yet
        return
    async with aclosing(blobs.scan(place, length, running.take, fresh=fresh)) as steps:
        async for _ in steps:
            check()


async def join(
    blobs: Blobs, place: Place, parts: Sequence[Upload], running: RunningHash, check: Callable[[], None]
) -> None:
    """Copy whole parts into a place, and hash them meanwhile; `check` may raise between the steps. Raises Missing."""

    async def hash_them() -> None:
        for part in parts:
            await hash_stored(blobs, part.place, part.offset, running, check, fresh=False)

    hashing = asyncio.create_task(hash_them())
    try:
        async with aclosing(blobs.join(place, [(part.place, part.offset) for part in parts])) as steps:
            async for _ in steps:
                check()
        while not hashing.done():
            await asyncio.wait({hashing}, timeout=0.1)
            check()
        await hashing
    finally:
        hashing.cancel()
        hashing.add_done_callback(disregard)
        await uncancellable(asyncio.wait({hashing}))
