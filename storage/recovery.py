"""A state that may lose what it had: each record has a copy beside the bytes, and is adopted from it.

The order is bytes, then copy, then record: a copy is never behind what was told, and a record that is behind its copy
is one that was lost. An adopted record gets an epoch that no lease before can have had; whoever had one is shut out.
"""

import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from msgspec.structs import replace

from onward.protocol.model import Status, Upload, UploadId
from onward.protocol.progress import Progress
from onward.protocol.promises import Promise
from onward.storage.base import Backups, Lease, Missing, SharedState, Stale, Unreachable

ADOPTIONS = 3  # tries to hold a lease on a record that is lost again and again
log = logging.getLogger("onward")


class RecoveringState:
    """Records, leases and events of a shared state, kept safe by copies."""

    def __init__(self, state: SharedState, backups: Backups) -> None:
        self._state, self._backups = state, backups
        state.look_by(self.load)
        self._leases: dict[tuple[UploadId, int], Lease] = {}

    async def open(self) -> None:
        """Look whether the state is ours; raises Unreachable. An emptied one is filled by the sweep, and when asked."""
        owner = await self._state.owner()
        if owner not in (None, self._backups.store):
            raise Unreachable("the state belongs to another data folder; is the right one mounted?")
        if owner is None and not [id_ async for id_ in self._backups.ids()]:
            await self._state.claim(self._backups.store)

    async def insert(self, upload: Upload, *, durable: bool = True, most: int | None = None) -> None:
        """Record a new upload."""
        await self._backups.begin(upload, durable=durable)
        try:
            await self._state.insert(upload, durable=durable, most=most)
        except BaseException:
            await self._backups.drop(upload.id)
            raise

    async def load(self, id: UploadId) -> Upload:
        """Give the record, adopted at need; where it is older than its copy, that."""
        try:
            record = await self._state.load(id)
        except Missing:
            await self._adopt(id)
            record = await self._state.load(id)
        if record.status.final and record.status is not Status.COMPLETED:
            return record
        copy = await self._backups.kept(id)
        return copy if copy and copy.version > record.version else record

    async def save(self, upload: Upload, *, durable: bool = True) -> Upload:
        """Replace the record; where it is missing it is adopted, and the caller has to begin anew."""
        lease = self._leases.get((upload.id, upload.epoch))
        if lease is None or not lease.holds():
            await self.load(upload.id)
            raise Stale(upload.id)
        copy = replace(upload, version=upload.version + 1)
        try:
            await self._backups.keep(copy, durable=durable)
        except Missing:
            await self._state.load(upload.id)
            await self._backups.begin(copy, durable=durable)
        try:
            return await self._state.save(upload, durable=durable)
        except Missing:
            await self._adopt(upload.id)
            raise Stale(upload.id) from None

    async def forget(self, id: UploadId) -> None:
        """Remove the record and its copy."""
        await self._state.forget(id)
        await self._backups.drop(id)

    async def probe(self) -> None:
        """Look whether records and their copies can be saved at the moment."""
        await self._state.probe()
        await self._backups.probe()

    async def time(self) -> float | None:
        """Give the time of the shared state."""
        return await self._state.time()

    async def promised(self) -> Promise:
        """Give what all unfinished uploads have been promised."""
        return await self._state.promised()

    async def due(self, now: float) -> AsyncIterator[UploadId]:
        """Give the ids of the records that are due, of a state that was emptied too."""
        await self._fill_if_empty()
        async for id_ in self._state.due(now):
            yield id_

    @asynccontextmanager
    async def hold(self, id: UploadId, *, wait: float, on_rival: Callable[[], None]) -> AsyncIterator[Lease]:
        """Hold the lease as the seam says, on a record that is adopted at need."""
        async with AsyncExitStack() as stack:
            lease = await self._up_to_date(stack, id, wait, on_rival)
            self._leases[id, lease.epoch] = lease
            try:
                yield lease
            finally:
                del self._leases[id, lease.epoch]

    async def at_rest(self, id: UploadId) -> Upload | None:
        """Give the record if nobody holds the lease, nor has left it; one that is missing or old has to be adopted."""
        if (record := await self._state.at_rest(id)) is None:
            return None
        copy = await self._backups.kept(id)
        return None if copy and copy.version > record.version else record

    async def fenced(self, lease: Lease, upload: Upload) -> None:
        """Note that whoever left the lease can't change the bytes any more; nor can it change the copy from now on."""
        await self._backups.renew(replace(upload, epoch=lease.epoch), lease.holds)
        await self._state.fenced(lease, upload)

    def subscribe(self, id: UploadId) -> AbstractAsyncContextManager[AsyncIterator[Progress]]:
        """Follow an upload from now on."""
        return self._state.subscribe(id)

    async def close(self) -> None:
        """Let go of the state."""
        await self._state.close()

    async def _up_to_date(
        self, stack: AsyncExitStack, id: UploadId, wait: float, on_rival: Callable[[], None]
    ) -> Lease:
        """Enter a lease on a record that is not older than its copy."""
        for _ in range(ADOPTIONS):
            async with AsyncExitStack() as attempt:
                try:
                    lease = await attempt.enter_async_context(self._state.hold(id, wait=wait, on_rival=on_rival))
                    record, copy = lease.record or await self._state.load(id), await self._backups.kept(id)
                except Missing:
                    if not await self._adopt(id):
                        raise
                    continue
                if copy is None or (copy.version <= record.version and copy.epoch < lease.epoch):
                    await stack.enter_async_context(attempt.pop_all())
                    return dataclasses.replace(lease, record=record)
                await self._adopt(id)
        raise Unreachable(f"the record of {id[:8]}… does not stay")

    async def _adopt(self, id: UploadId) -> bool:
        copy = await self._backups.kept(id)
        if copy is None:
            return False
        await self._state.adopt(copy)
        log.warning("the record of %s… was missing or old, and is adopted from its copy at %d", id[:8], copy.offset)
        return True

    async def _adopt_if_it_can_be(self, id: UploadId) -> None:
        """Adopt a record; a copy that can't be read keeps no other from it, and is told when it is asked for."""
        try:
            await self._adopt(id)
        except Unreachable as fault:
            await self._state.probe()  # unless it is the state that can't be reached
            log.warning("the copy of %s… can't be read: %s", id[:8], fault)

    async def _fill_if_empty(self) -> None:
        if await self._state.owner() is not None:
            return
        async for id_ in self._backups.ids():
            try:
                await self._state.load(id_)
            except Missing:
                await self._adopt_if_it_can_be(id_)
        await self._state.claim(self._backups.store)
