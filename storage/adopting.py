"""A state that may be emptied behind our back: each record has a copy beside the bytes, and is adopted from it.

The order is bytes, then copy, then record: a copy is never behind what was told. An adopted record gets an epoch that
no lease before can have had.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace

from protocol.model import Upload, UploadId
from protocol.progress import Progress
from storage.base import Copies, Lease, Missing, SharedState, Stale, Unreachable

log = logging.getLogger("onward")


class AdoptingState:
    """Records, leases and events of a shared state, kept safe by copies."""

    def __init__(self, state: SharedState, copies: Copies, clock: Callable[[], float]) -> None:
        self._state, self._copies, self._clock = state, copies, clock

    async def open(self) -> None:
        """Look whether the state is ours, and fill it where it is empty; raises Unreachable."""
        owner = await self._state.owner()
        if owner not in (None, self._copies.store):
            raise Unreachable("the state belongs to another data folder; is the right one mounted?")
        await self._fill_if_empty()

    async def insert(self, upload: Upload, *, durable: bool = True, most: int | None = None) -> None:
        """Record a new upload."""
        await self._copies.begin(upload)
        try:
            await self._state.insert(upload, durable=durable, most=most)
        except BaseException:
            await self._copies.drop(upload.id)
            raise

    async def load(self, id: UploadId) -> Upload:
        """Give the record, adopted at need."""
        try:
            return await self._state.load(id)
        except Missing:
            await self._adopt(id)
            return await self._state.load(id)

    async def save(self, upload: Upload, *, durable: bool = True) -> Upload:
        """Replace the record; where it is missing it is adopted, and the caller has to begin anew."""
        copy = replace(upload, version=upload.version + 1)
        try:
            await self._copies.keep(copy)
        except Missing:
            await self._state.load(upload.id)
            await self._copies.begin(copy)
        try:
            return await self._state.save(upload, durable=durable)
        except Missing:
            await self._adopt(upload.id)
            raise Stale(upload.id) from None

    async def forget(self, id: UploadId) -> None:
        """Remove the record and its copy."""
        await self._state.forget(id)
        await self._copies.drop(id)

    async def probe(self) -> None:
        """Look whether records can be read and saved at the moment."""
        await self._state.probe()

    async def due(self, now: float) -> AsyncIterator[UploadId]:
        """Give the ids of the records that are due, of a state that was emptied too."""
        await self._fill_if_empty()
        async for id_ in self._state.due(now):
            yield id_

    @asynccontextmanager
    async def hold(self, id: UploadId, *, wait: float, on_rival: Callable[[], None]) -> AsyncIterator[Lease]:
        """Hold the lease as the seam says, on a record that is adopted at need."""
        async with AsyncExitStack() as stack:
            try:
                lease = await stack.enter_async_context(self._state.hold(id, wait=wait, on_rival=on_rival))
            except Missing:
                await self._adopt(id)
                lease = await stack.enter_async_context(self._state.hold(id, wait=wait, on_rival=on_rival))
            yield lease

    async def fenced(self, lease: Lease) -> None:
        """Note that whoever left the lease can't change the bytes any more; nor can it change the copy from now on."""
        await self._copies.renew(lease.id)
        await self._state.fenced(lease)

    async def publish(self, progress: Progress) -> None:
        """Tell the watchers of every node."""
        await self._state.publish(progress)

    def subscribe(self, id: UploadId) -> AbstractAsyncContextManager[AsyncIterator[Progress]]:
        """Follow an upload from now on."""
        return self._state.subscribe(id)

    async def close(self) -> None:
        """Let go of the state."""
        await self._state.close()

    async def _adopt(self, id: UploadId) -> None:
        copy = await self._copies.kept(id)
        if copy is None:
            return
        epoch = max(copy.epoch + 1, int(self._clock() * 1000))
        await self._state.insert(replace(copy, epoch=epoch))
        log.warning("the record of %s… was missing, and is adopted from its copy at %d", id[:8], copy.offset)

    async def _fill_if_empty(self) -> None:
        if await self._state.owner() is not None:
            return
        async for id_ in self._copies.ids():
            try:
                await self._state.load(id_)
            except Missing:
                await self._adopt(id_)
        await self._state.claim(self._copies.store)
