"""From the last byte to the published file.

    all bytes are there       the record says `verifying`
      -> hash                 usually known, since it was computed while the body arrived; otherwise the bytes are read
      -> judge                the SHA-256 against the one that the client announced, if it did
      -> check                what the operator or the application wants to know about the file (not about a part)
                                if a check can't judge now: the record stays `verifying`, and says when to ask again
      -> seal                 the bytes get their final name (not for a part, which is only made durable)
      -> share                with an equal file, if the operator wants that (duplicates.py)
      -> record               `completed`, or `failed`

Each step may be repeated. After a crash in between the record still says `verifying`, and the next request for the
upload, or the sweep, calls `Completion.verify` again. The bytes of a final upload are first joined from its parts; one
that is held is not joined again, since its parts may be gone when it is published.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from math import ceil

from msgspec.structs import replace

from onward.protocol import concatenation, decisions
from onward.protocol.errors import Failed, Unchecked, Unpublished
from onward.protocol.model import LOST, PART_GONE, Place, Role, Status, Upload, UploadId
from onward.server.uploads.checks import Later
from onward.server.uploads.checks.asking import Checks
from onward.server.uploads.duplicates import Duplicates
from onward.server.uploads.hashing import RunningHash, RunningSha256
from onward.server.uploads.interrupt import Interrupt
from onward.server.uploads.publishing import NotYet, Publishing
from onward.server.uploads.records import UploadRecords
from onward.server.uploads.reserve import Reserve
from onward.server.uploads.second_look import look_twice
from onward.storage.base import Blobs, Missing, StorageError
from onward.storage.failpoints import reach
from onward.storage.failure_log import shorten_ids
from onward.storage.running.uncancellable import disregard, uncancellable

SHORTEST_HOLD, LONGEST_HOLD = 1.0, 3600.0  # seconds until a check that can't judge is asked again
ELSEWHERE = 10.0  # seconds after which a server that has all checks of an upload is expected to look at it
BRIEFLY = 1.0  # seconds that a request for the offset waits for the end of the checks
LOOK = 0.05  # seconds between two looks at the record meanwhile
KEPT = {  # what the client of a held upload is told
    Unchecked: "It is kept, and is checked again later.",
    Unpublished: "It is kept, and is published later.",
}
log = logging.getLogger("onward")


class Completion:
    """Verifies and publishes uploads whose bytes are all there; the caller holds the lease."""

    def __init__(self, records: UploadRecords, reserve: Reserve, checks: Checks, publishing: Publishing) -> None:
        self._records, self._reserve, self._checks, self._publishing = records, reserve, checks, publishing
        self._blobs = records.storage.blobs
        self.duplicates = Duplicates(records, on=publishing.shares)

    async def verify(
        self,
        upload: Upload,
        running: RunningSha256 | None,
        interrupt: Interrupt,
        *,
        head: bytes | None = None,
        last: bool = False,
    ) -> Upload:
        """Judge an upload and publish it, unless it is a part; returns it completed or failed.

        `running` is the hash of its bytes, and `head` are the first of them, if they are known. `last`: the caller
        saves nothing more under this lease.
        Raises Unchecked if a check holds it, what cuts the work short (see `Interrupt`), and StorageError; then it may
        be repeated.
        """
        records, content_type, former = self._records, None, upload
        if lacking := self.lacking(upload):
            raise await self._leave(upload, lacking)
        try:
            sha256 = upload.sha256 or (await self._hash(upload, running, interrupt)).digest()
            decisions.judge(upload, sha256)
            reach("judged")
            if upload.role is not Role.PARTIAL:
                content_type = await self._checks.judge(replace(upload, sha256=sha256), interrupt, head)
                reach("checked")
            acknowledged = bool(upload.volatile and upload.offset) and upload.role is not Role.FINAL
            if upload.role is not Role.PARTIAL:
                upload = await self._publishing.stage(records, upload, sha256, interrupt, acknowledged=acknowledged)
                former = upload
                upload = await self._publishing.seal(
                    records,
                    replace(upload, sha256=sha256),
                    interrupt,
                    acknowledged=acknowledged,
                    content_type=content_type,
                )
                upload = await self.duplicates.share(upload, sha256, interrupt)
            elif acknowledged:
                await look_twice(partial(self._blobs.sync, upload.place))
        except Failed as judged:
            return await records.end(records.failed(upload, judged.failure, sha256))
        except Later as later:
            raise await self._hold(upload, sha256, later) from later
        except Missing:
            failure = PART_GONE if upload.role is Role.FINAL else LOST
            return await records.end(records.failed(upload, failure))
        now, limits = records.clock(), records.limits
        completed = decisions.completed(
            upload, sha256=sha256, place=upload.place, now=now, limits=limits, content_type=content_type
        )
        upload = await records.end(completed, last=last and not self._publishing.outside)
        if upload.role is not Role.PARTIAL:
            await self._publishing.drop_local(records, former, upload)
            await self.duplicates.note(upload)
        await self._release(upload)
        return upload

    async def outcome(self, id: UploadId) -> Upload:
        """Wait briefly until a whole upload has been checked and published, and return its record.

        Raises Unchecked, Gone if the upload has expired, and Missing.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + BRIEFLY
        while True:
            upload = await self._records.load(id)
            if upload.status is not Status.VERIFYING:
                return upload
            if loop.time() >= until:
                decisions.check_open(upload, self._records.clock())
                left = (upload.held_until or 0.0) - self._records.clock()
                kind = Unpublished if self._publishing.concerns(upload) else Unchecked
                raise kind(KEPT[kind], retry_after=max(ceil(left), 1))
            await asyncio.sleep(LOOK)

    def lacking(self, upload: Upload) -> str:
        """Return the names of checks that a file has to pass and this server does not have; empty if it has them all.

        Another server has them, or the configuration was changed, or `onward sweep` was given fewer options.
        """
        return ", ".join(name for name in upload.checks if name not in self._records.checks)

    async def _leave(self, upload: Upload, lacking: str) -> Unchecked:
        """Hold an upload for a server that has its checks; one that is held already stays as it is."""
        if upload.held_until is not None:
            return Unchecked("It is kept for a server that has its checks.", retry_after=ceil(ELSEWHERE))
        return await self._hold(upload, upload.sha256, Later(ELSEWHERE, f"this server lacks a check of it: {lacking}"))

    async def _hold(self, upload: Upload, sha256: bytes | None, later: Later) -> Unchecked:
        """Record that the upload is held; returns the refusal for the request that is waiting for its end."""
        pause = min(max(later.retry_after, SHORTEST_HOLD), LONGEST_HOLD)
        known = sha256
        if upload.role is Role.FINAL and upload.sha256 is None:
            try:
                await self._blobs.sync(upload.place)  # its parts may be gone when it is published
            except Missing:
                known = None
        now, limits = self._records.clock(), self._records.limits
        held = decisions.held(upload, until=now + pause, sha256=known, now=now, limits=limits)
        held = await self._records.save(held)
        reach("held")
        if held.volatile:
            await self._records.settle(held)
        level = logging.WARNING if upload.held_until is None else logging.INFO
        log.log(level, "upload %s… is held for %g s: %s", upload.id[:8], pause, shorten_ids(str(later)))
        kind = Unpublished if isinstance(later, NotYet) else Unchecked
        return kind(KEPT[kind], retry_after=ceil(pause))

    async def _hash(self, upload: Upload, running: RunningSha256 | None, interrupt: Interrupt) -> RunningSha256:
        """Return the hash of all bytes: join and hash the parts, or read stored bytes if the hash is not known yet."""
        if upload.role is Role.FINAL:
            running = RunningSha256()
            parts = await self._records.parts(upload)
            if parts is None:
                raise Missing(upload.id)
            with self._reserve.claim_join(await self._reserve.joined_size([part.offset for part in parts])):
                await join(self._blobs, upload.place, parts, running, interrupt.check)
            return running
        if running is None and not self._blobs.rereads:
            running = RunningSha256.of(upload)
        if running is None or running.offset != upload.offset:
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
