"""The clean-up: what is due is paused, settled, expired, brought to its end, or forgotten.

Long work (hashing, joining) runs beside the rest, a few uploads at a time: one file of 100 GiB must not keep the
others from expiring. Everything happens under the lease of the upload, and no lease is asked for that somebody holds.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from math import inf

from onward.protocol import decisions
from onward.protocol.errors import Locked, Refusal
from onward.protocol.model import Role, Status, Upload, UploadId
from onward.server.uploads.clock import Clock
from onward.server.uploads.completion import Completion
from onward.server.uploads.final_uploads import FinalUploads
from onward.server.uploads.interrupt import Interrupt, Running
from onward.server.uploads.long_work import Background
from onward.server.uploads.records import UploadRecords
from onward.storage.base import Held, Missing, Stale, StorageError
from onward.storage.failpoints import reach

STRAY = 3600.0  # seconds that bytes without a record stay
REST = 60.0  # seconds until the sweep looks again at an upload that it could not tend
LONG_AT_ONCE = 2  # uploads that are hashed or joined at a time: each keeps a processor busy
PAUSES_AT_ONCE = 8
log = logging.getLogger("onward")
Tend = Callable[[Upload, Interrupt], Awaitable[bool]]


class Sweep:
    """Tends uploads that nobody asks for; `remove` records an end and removes the bytes."""

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
        self._files = Clock()  # that of the file system's times, which is never shared
        self._seen: object = None
        self.long = Background(self._finish_one, LONG_AT_ONCE)
        self._pauses = Background(self._pause, PAUSES_AT_ONCE)
        self._catching_up = Background(self._carry_all, 1)

    async def look(self) -> int:
        """Tend what is due, and give how many; long work goes on in the background."""
        await self._records.ask_the_time()
        tended, now = 0, self._records.clock()
        self._notice_a_step()
        rested = asyncio.get_running_loop().time()
        self._resting = {id_: until for id_, until in self._resting.items() if until > rested}
        async for id_ in self._storage.state.due(now):
            if self._running.stopping:
                break
            if id_ not in self._resting and id_ not in self.long:
                tended += await self._attempt(id_, self._tend)
        return tended

    async def all(self) -> int:
        """Tend what is due to its end."""
        tended = await self.look()
        for work in (self._catching_up, self._pauses, self.long):
            await work.over()
        return tended

    async def pause_for_ever(self) -> None:
        """Tell each upload as paused as soon as it has been silent for long enough."""
        while True:
            self._pauses.add(await self._records.silence.fallen())

    def cancel(self) -> set[asyncio.Task[None]]:
        """Cancel what goes on in the background; gives the tasks that are still to end."""
        return self._catching_up.cancel() | self._pauses.cancel() | self.long.cancel()

    async def tidy(self) -> int:
        """Remove unfinished bytes without a record, if nobody has touched them for long; gives how many there were."""
        removed, now = 0, self._files()
        if self._files.stepped_within(STRAY):  # the times of files tell nothing then
            return 0
        async for place, id_ in self._storage.blobs.strays(now - STRAY):
            try:
                if id_ is not None:
                    await self._records.load(id_)
                    continue
            except Missing:
                pass
            except StorageError:  # a record that can't be read is one
                continue
            log.warning("%s belongs to no upload, and is removed", place)
            await self._storage.blobs.remove(place)
            removed += 1
        return removed

    async def _attempt(self, id: UploadId, tend: Tend) -> bool:
        """Tend an upload under its lease, unless somebody has it; one that can't be tended stops no other."""
        try:
            with self._running.interruptible(Interrupt()) as interrupt:
                async with self._records.leased(id, interrupt.give_way, wait=0) as upload:
                    long = await tend(upload, interrupt)
            if long:
                self.long.add(id)
        except (Held, Stale, Locked):
            return False
        except (StorageError, Refusal) as fault:
            if not self._running.stopping:
                why = str(fault).replace(id, f"{id[:8]}…")  # the whole id would let a reader of the log have the file
                log.warning("upload %s… can't be tended, and rests for %g s: %s", id[:8], REST, why)
                self._resting[id] = asyncio.get_running_loop().time() + REST
            return False
        return True

    async def _tend(self, upload: Upload, _interruption: Interrupt) -> bool:
        """Do what is due and short; tells whether there is long work to do."""
        now = self._records.clock()
        if upload.due is None or upload.due > now:
            return False
        if decisions.is_expired(upload, now):
            await self._remove(decisions.expired(upload, now=now, limits=self._limits))
        elif upload.role is Role.FINAL and upload.status is Status.PENDING:
            return (await self._final_uploads.advanced(upload)).status is Status.VERIFYING
        elif upload.status is Status.VERIFYING:
            return True
        elif upload.status is Status.UPLOADING:
            await self._paused(upload)
        elif upload.volatile and not upload.status.final:
            await self._records.settle(upload)
        elif decisions.is_forgotten(upload, now, self._limits):
            await self._storage.blobs.remove(upload.place)
            await self._storage.state.forget(upload.id)
            reach("forgotten")
        elif upload.status is Status.FAILED:
            await self._storage.blobs.remove(upload.place)
            await self._records.save(decisions.emptied(upload, limits=self._limits))
        return False

    async def _paused(self, upload: Upload) -> None:
        upload = await self._records.save(decisions.paused(upload, now=self._records.clock(), limits=self._limits))
        if upload.volatile:
            await self._records.settle(upload)

    async def _finish_one(self, id: UploadId) -> None:
        """Do the long work on an upload, unless somebody else has done it."""

        async def completion(upload: Upload, interrupt: Interrupt) -> bool:
            if upload.status is Status.VERIFYING:
                await self._completion.verify(upload, None, interrupt)
            return False

        if not self._running.stopping:
            await self._attempt(id, completion)

    async def _pause(self, fallen: tuple[UploadId, int]) -> None:
        """Tell an upload as paused where no node has done anything with it since it fell silent."""
        id_, version = fallen

        async def pause(upload: Upload, _interruption: Interrupt) -> bool:
            if (upload.status, upload.version) == (Status.UPLOADING, version):
                await self._paused(upload)
            return False

        try:
            record = await self._records.at_rest(id_)
        except StorageError:  # the sweep will see to it
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
        """Record the right times of all uploads that are older than a change of the clock."""

        async def carry(_upload: Upload, _interruption: Interrupt) -> bool:
            return False  # the ledger has done it

        async for id_ in self._storage.state.due(inf):
            if self._running.stopping:
                return
            try:
                record = await self._storage.state.load(id_)
            except StorageError:
                continue
            if self._records.carried(record) is not record:
                await self._attempt(id_, carry)
