"""The sweep: work on uploads that no request asks for. `server/background.py` calls it every few seconds.

Each record says when it is due, and `protocol/lifecycle.py` says why. Then the sweep holds the lease and, by status:

    uploading     silent for long enough: paused (usually on time by `pause_for_ever`, see silence.py)
    volatile      settled: its bytes are made durable
    pending       advanced, if its parts are completed
    verifying     hashed, judged, checked, published: what a crash or a stop has interrupted, or a check has held
    any of these  too old: expired, and its bytes are removed
    failed        its bytes are removed
    ended         after a while: the record itself is removed

Long work (hashing, joining) runs in the background, a few uploads at a time, so that one file of 100 GiB does not keep
the others from expiring. The sweep never asks a holder to give a lease up; it tries again at the next sweep.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from math import inf

from onward.protocol import decisions
from onward.protocol.errors import Locked, Refusal, Unavailable, Unchecked
from onward.protocol.model import GONE, Role, Status, Upload, UploadId
from onward.server.uploads.clock import Clock
from onward.server.uploads.completion import Completion
from onward.server.uploads.concatenation import FinalUploads
from onward.server.uploads.interrupt import Interrupt, Running
from onward.server.uploads.long_work import Background
from onward.server.uploads.records import UploadRecords
from onward.storage.base import Held, Missing, Stale, StorageError
from onward.storage.failpoints import reach
from onward.storage.failure_log import shorten_ids

STRAY = 3600.0  # seconds that bytes without a record are kept
REST = 60.0  # seconds until the sweep tries again an upload with which it failed
LONG_AT_ONCE = 2  # uploads that are hashed or joined at a time: each of them keeps a processor busy
PAUSES_AT_ONCE = 8
log = logging.getLogger("onward")
Work = Callable[[Upload, Interrupt], Awaitable[bool]]


class Sweep:
    """Does the work that is due; `remove` records an end and removes the bytes."""

    def __init__(
        self,
        records: UploadRecords,
        completion: Completion,
        final_uploads: FinalUploads,
        running: Running,
        remove: Callable[[Upload], Awaitable[None]],
    ) -> None:
        self._records, self._completion, self._final_uploads, self._running = (
            records,
            completion,
            final_uploads,
            running,
        )
        self._storage, self._limits = records.storage, records.limits
        self._remove = remove
        self._resting: dict[UploadId, float] = {}
        self._files = Clock()  # for the times of files, which do not follow a shared clock
        self._seen: object = None
        self.long = Background(self._finish_one, LONG_AT_ONCE)
        self._pauses = Background(self._pause, PAUSES_AT_ONCE)
        self._catching_up = Background(self._carry_all, 1)

    async def look(self) -> int:
        """Do what is due, and return the number of uploads; long work goes on in the background.

        Raises StorageError if the state does not answer.
        """
        await self._records.ask_the_time()
        count, now = 0, self._records.clock()
        self._notice_a_step()
        rested = asyncio.get_running_loop().time()
        self._resting = {id_: until for id_, until in self._resting.items() if until > rested}
        async for id_ in self._storage.state.due(now):
            if self._running.stopping:
                break
            if id_ not in self._resting and id_ not in self.long:
                count += await self._attempt(id_, self._do_what_is_due)
        await self._storage.state.quotas.put_right()
        return count

    async def all(self) -> int:
        """Do what is due, and wait for long work as well; returns the number of uploads."""
        count = await self.look()
        for work in (self._catching_up, self._pauses, self.long):
            await work.over()
        return count

    async def pause_for_ever(self) -> None:
        """Pause each upload as soon as it has been silent for long enough."""
        while True:
            self._pauses.add(await self._records.silence.fallen())

    def cancel(self) -> set[asyncio.Task[None]]:
        """Cancel all work in the background; returns the tasks that have not ended yet."""
        return self._catching_up.cancel() | self._pauses.cancel() | self.long.cancel()

    async def tidy(self) -> int:
        """Remove unfinished bytes that no upload needs and are an hour old; returns how many places were removed.

        They have no record; or their upload has ended without a file, and a server that was suspended wrote them later.
        Also removes the keys of creations whose day is over.
        """
        await self._storage.state.creation_keys.tidy(self._records.clock())
        removed, now = 0, self._files()
        if self._files.stepped_within(STRAY):  # then the times of files are not comparable with the clock
            return 0
        async for place, id_ in self._storage.blobs.strays(now - STRAY):
            if id_ in self._records.unrecorded:  # its record may come at any moment
                continue
            try:
                recorded = None if id_ is None else await self._records.load(id_)
                if recorded is not None and recorded.status not in GONE:
                    removed += await self._storage.blobs.tidy(place, recorded.place)
                    continue
            except Missing:
                recorded = None
            except StorageError:  # there is a record, but it cannot be read
                continue
            if recorded is None:
                log.warning("%s belongs to no upload, and is removed", place)
            else:
                log.info("%s is left of an upload that was %s, and is removed", shorten_ids(place), recorded.status)
            await self._storage.blobs.remove(place)
            removed += 1
        return removed

    async def _attempt(self, id: UploadId, work: Work) -> bool:
        """Work on an upload under its lease, unless a request holds it; an error is logged, and the sweep goes on."""
        try:
            with self._running.interruptible(Interrupt()) as interrupt:
                async with self._records.leased(id, interrupt.give_way, wait=0) as upload:
                    long = await work(upload, interrupt)
            if long:
                self.long.add(id)
        except (Held, Stale, Locked, Unchecked):
            return False
        except (StorageError, Refusal) as fault:
            if not self._running.stopping:
                why = shorten_ids(str(fault))
                log.warning("upload %s… can't be processed; the sweep tries again in %g s: %s", id[:8], REST, why)
                self._resting[id] = asyncio.get_running_loop().time() + REST
            return False
        return True

    async def _do_what_is_due(self, upload: Upload, _interruption: Interrupt) -> bool:
        """Do what is due and short; returns whether there is also long work to do."""
        now = self._records.clock()
        if upload.due is None or upload.due > now:
            return False
        if decisions.is_expired(upload, now):
            await self._remove(decisions.expired(upload, now=now, limits=self._limits))
        elif upload.role is Role.FINAL and upload.status is Status.PENDING:
            return (await self._final_uploads.update(upload)).status is Status.VERIFYING
        elif upload.status is Status.VERIFYING:
            if upload.held_until is not None and (lacking := self._completion.lacking(upload)):
                raise Unavailable(f"this server lacks a check of it: {lacking}")
            return True
        elif upload.status is Status.UPLOADING:
            await self._record_pause(upload)
        elif upload.volatile and not upload.status.final:
            await self._records.settle(upload)
        elif decisions.is_forgotten(upload, now, self._limits):
            await self._forget(upload)
        elif upload.status in (Status.FAILED, Status.TERMINATED, Status.EXPIRED):
            await self._storage.blobs.remove(upload.place)
            await self._records.save(decisions.emptied(upload, limits=self._limits))
        return False

    async def _forget(self, upload: Upload) -> None:
        await self._storage.blobs.remove(upload.place)
        if upload.creation_key is not None:  # before the record: an id must not be used again
            await self._storage.state.creation_keys.unbind(upload.creation_key.hash, upload.id)
        await self._storage.state.forget(upload.id)
        reach("forgotten")

    async def _record_pause(self, upload: Upload) -> None:
        upload = await self._records.save(decisions.paused(upload, now=self._records.clock(), limits=self._limits))
        if upload.volatile:
            await self._records.settle(upload)

    async def _finish_one(self, id: UploadId) -> None:
        """Do the long work on an upload, unless another request or server has done it."""

        async def completion(upload: Upload, interrupt: Interrupt) -> bool:
            if upload.status is Status.VERIFYING and (upload.held_until or 0.0) <= self._records.clock():
                await self._completion.verify(upload, None, interrupt)
            return False

        if not self._running.stopping:
            await self._attempt(id, completion)

    async def _pause(self, fallen: tuple[UploadId, int]) -> None:
        """Pause an upload that fell silent, unless any node has changed its record since."""
        id_, version = fallen

        async def pause(upload: Upload, _interruption: Interrupt) -> bool:
            if (upload.status, upload.version) == (Status.UPLOADING, version):
                await self._record_pause(upload)
            return False

        try:
            record = await self._records.at_rest(id_)
        except StorageError:  # the next sweep will do it
            return
        if record is not None and record.version == version:
            await self._attempt(id_, pause)

    def _notice_a_step(self) -> None:
        steps = self._records.clock.steps
        if steps and steps[-1] is not self._seen:
            self._seen = steps[-1]
            log.warning(
                "the clock was set by %+.0f s; all uploads keep the time that they had",
                steps[-1].by,
            )
            self._catching_up.add(steps[-1])

    async def _carry_all(self, _step: object) -> None:
        """Save the corrected times of all uploads whose records are older than a change of the clock."""

        async def carry(_upload: Upload, _interruption: Interrupt) -> bool:
            return False  # `leased` has already saved them

        async for id_ in self._storage.state.due(inf):
            if self._running.stopping:
                return
            try:
                record = await self._storage.state.load(id_)
            except StorageError:
                continue
            if self._records.carried(record, self._records.clock()) is not record:
                await self._attempt(id_, carry)
