"""Recovery from a shared state that has lost records: they are restored ("adopted") from copies beside the bytes.

Redis may come back empty after a restart, or with older records than it had: a failover loses what the new master had
not received yet. But offsets were acknowledged by then, and a client must never be sent back. So `RecoveringState`
stands between the server and the shared state (`storage/__init__.py` puts it there), and writes each record twice:

    insert    reserved in the state  ->  copy in records/ (Backups)  ->  record in the state  ->  reply
    save      bytes                  ->  copy in records/            ->  record in the state  ->  reply

    load      record missing             adopt the copy, then read the record
    hold      record older than copy     adopt the copy, then take the lease again
              otherwise                  the state is right: nothing to do

Because of this order a copy is never older than what was acknowledged, and a record that is older than its copy is one
that was lost. The two are compared by `version`, which grows by one with each save. A copy may be one version ahead
for a moment, or after a crash between the two writes. Adopting it then is right as well: its bytes are durable.

A state that has lost records has lost leases and epochs too. Former holders may still be running and believe that they
hold the lease. So an adopted record gets an epoch that no earlier lease can have had, which makes every save of theirs
stale, and is marked as left by ANYONE, so that the next holder fences the bytes and the copy before it writes.

Records are adopted one by one, whenever one is asked for. A state that is empty, or has an empty part (a cluster that
lost one master), is noticed by the sweep, when it asks what is due: then all missing records are adopted. Only after
that is the state marked as belonging to this data folder (`claim`), so that a crash in between begins again.

The keys of creations are lost as well. Each record has its own key, which is bound again when the record is adopted.

The outbox is lost together with the records. So the latest event of each adopted upload is queued again, with the same
id as before; a receiver that has it already recognises it by that. If the record was only older than its copy, then its
end is told only if the record does not know of it: what has ended may be saved again without an event.
"""

import dataclasses
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

from msgspec.structs import replace

from onward.protocol.creation_keys import KEPT
from onward.protocol.events import NOBODY, OutgoingEvent, Subscriptions
from onward.protocol.model import CreationKey, Status, Upload, UploadId
from onward.protocol.progress import Progress
from onward.protocol.promises import Promise
from onward.storage.base import (
    Backups,
    Binding,
    CreationKeys,
    Cursor,
    Hints,
    Lease,
    Missing,
    Outbox,
    Page,
    Quotas,
    SharedState,
    Stale,
    StorageError,
    Unreachable,
)
from onward.storage.failure_log import shorten_ids

ADOPTIONS = 3  # attempts to load a record that is lost again and again, or to hold the lease on it
log = logging.getLogger("onward")


def _lost_again(id: UploadId) -> Unreachable:
    return Unreachable(f"the record of {id[:8]}… is lost again each time it is adopted")


class _RecoveringKeys:
    """The keys of creations of a state that may come back empty: it is filled before a key counts as unknown."""

    def __init__(self, keys: CreationKeys, fill_if_empty: Callable[[], Awaitable[None]]) -> None:
        self._keys, self._fill_if_empty = keys, fill_if_empty
        self.unbind, self.tidy = keys.unbind, keys.tidy

    async def bind(
        self, key: str, binding: Binding, *, now: float, kept: float, instead_of: Binding | None = None
    ) -> Binding:
        """Bind a key, unless it is bound to another upload, now or before the state was lost."""
        await self._fill_if_empty()
        return await self._keys.bind(key, binding, now=now, kept=kept, instead_of=instead_of)


class RecoveringState:
    """Records, leases, events and the outbox of a shared state, with a copy of each record beside the bytes.

    `subscriptions` says which event of an adopted record is queued again.
    """

    is_own = False

    def __init__(self, state: SharedState, backups: Backups, subscriptions: Subscriptions = NOBODY) -> None:
        self._state, self._backups, self._subscriptions = state, backups, subscriptions
        state.read_watched_by(self.load)
        state.fill_before_count(self._fill_if_empty)
        state.refresh_before_examination(self._refresh)
        self._leases: dict[tuple[UploadId, int], Lease] = {}

    async def open(self) -> None:
        """Check that the state belongs to this data folder; raises Unreachable.

        An empty state is filled later: by the sweep, and record by record when one is asked for.
        """
        owner = await self._state.owner()
        if owner not in (None, self._backups.store):
            raise Unreachable("the state belongs to another data folder; is the right one mounted?")
        if owner is None and not [id_ async for id_ in self._backups.ids()]:
            await self._state.claim(self._backups.store)

    async def insert(
        self, upload: Upload, *, durable: bool = True, most: int | None = None, events: Sequence[OutgoingEvent] = ()
    ) -> None:
        """Write the first copy, then the record; raises Crowded, Exceeded, or Stale and keeps the copy of the other.

        A copy may be adopted from the moment when it is there. So it is written only after the upload was admitted.
        """
        begun = False

        async def begin() -> None:
            nonlocal begun
            begun = True
            await self._backups.begin(upload, durable=durable)

        try:
            await self._state.insert(upload, durable=durable, most=most, events=events, begin=begin)
        except Stale:
            raise
        except BaseException:
            if begun:
                await self._backups.drop(upload.id)
            raise

    async def load(self, id: UploadId, *, fresh: bool = False) -> Upload:
        """Return the record, adopting it if it is missing; or its copy if that is newer.

        An unknown id takes the same steps as an upload whose record and copy are there. Raises Missing only if there is
        no copy either, and Unreachable if the record is lost each time.
        """
        for _ in range(ADOPTIONS):
            try:
                record = await self._state.load(id, fresh=fresh)
            except Missing:
                if not await self._adopt(id):
                    raise
                continue
            copy = await self._backups.kept(id)
            return copy if copy and copy.version > record.version else record
        raise _lost_again(id)

    async def save(
        self, upload: Upload, *, durable: bool = True, events: Sequence[OutgoingEvent] = (), last: bool = False
    ) -> Upload:
        """Write the copy, then the record; raises Stale or Missing.

        If the record is missing it is adopted, which ends the caller's lease: then Stale is raised as well.
        """
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
            return await self._state.save(upload, durable=durable, events=events, last=last)
        except Missing:
            await self._adopt(upload.id)
            raise Stale(upload.id) from None

    async def forget(self, id: UploadId) -> None:
        """Remove the record and its copy."""
        await self._state.forget(id)
        await self._backups.drop(id)

    async def probe(self) -> None:
        """Check whether records and their copies can be saved at the moment."""
        await self._state.probe()
        await self._backups.probe()

    async def time(self) -> float | None:
        """Return the time of the shared state."""
        return await self._state.time()

    async def promised(self) -> Promise:
        """Return what all unfinished uploads have been promised."""
        return await self._state.promised()

    async def count_open(self) -> Mapping[Status, int]:
        """Return how many unfinished uploads have each status."""
        return await self._state.count_open()

    async def due(self, now: float) -> AsyncIterator[UploadId]:
        """Yield the ids of the records that are due; an empty state is filled from the copies first."""
        await self._fill_if_empty()
        async for id_ in self._state.due(now):
            yield id_

    async def page(
        self, *, after: Cursor | None, limit: int, statuses: Collection[Status], owner: str | None = None
    ) -> Page:
        """Return one page of all uploads; an empty state is filled from the copies first.

        A single record that the state has lost is on no page until it is adopted.
        """
        await self._fill_if_empty()
        return await self._state.page(after=after, limit=limit, statuses=statuses, owner=owner)

    @asynccontextmanager
    async def hold(self, id: UploadId, *, wait: float, on_rival: Callable[[], None]) -> AsyncIterator[Lease]:
        """Hold the lease; a record that is missing, or older than its copy, is adopted first."""
        async with AsyncExitStack() as stack:
            lease = await self._up_to_date(stack, id, wait, on_rival)
            self._leases[id, lease.epoch] = lease
            try:
                yield lease
            finally:
                del self._leases[id, lease.epoch]

    async def at_rest(self, ids: Sequence[UploadId]) -> list[Upload | None]:
        """Return each record that is at rest and not older than its copy; None if it has to be held, or adopted.

        What was acknowledged before is in both, so a record that lacks it is older than its copy, though read later.
        """
        copies = await self._backups.kept_of(ids)
        records = await self._state.at_rest(ids)
        return [
            None if record and copy and copy.version > record.version else record
            for record, copy in zip(records, copies, strict=True)
        ]

    def remembered(self, id: UploadId) -> Upload | None:  # noqa: ARG002
        """Return None: other servers change the records as well."""
        return None

    async def fenced(self, lease: Lease, upload: Upload) -> None:
        """Fence the copy as well, then note that the former holder can no longer write; raises Stale."""
        await self._backups.renew(replace(upload, epoch=lease.epoch), lease.holds)
        await self._state.fenced(lease, upload)

    @property
    def outbox(self) -> Outbox:
        """The outbox of the state."""
        return self._state.outbox

    @property
    def hints(self) -> Hints:
        """The hints of the state; those that it has lost are not put back."""
        return self._state.hints

    @property
    def creation_keys(self) -> CreationKeys:
        """The keys of creations; an empty state gets them back with the records."""
        return _RecoveringKeys(self._state.creation_keys, self._fill_if_empty)

    @property
    def quotas(self) -> Quotas:
        """The quotas of the state."""
        return self._state.quotas

    def subscribe(self, id: UploadId) -> AbstractAsyncContextManager[AsyncIterator[Progress]]:
        """Follow an upload from now on."""
        return self._state.subscribe(id)

    def count_arrived_by(self, arrived: Callable[[UploadId], int]) -> None:
        """Ask `arrived` for each message how many bytes have arrived."""
        self._state.count_arrived_by(arrived)

    async def tell(self, upload: Upload) -> bool:
        """Send a message about more bytes."""
        return await self._state.tell(upload)

    async def close(self) -> None:
        """Close the state; the backups belong to the blobs, which close them."""
        await self._state.close()

    async def _up_to_date(
        self, stack: AsyncExitStack, id: UploadId, wait: float, on_rival: Callable[[], None]
    ) -> Lease:
        """Take a lease on a record that is not older than its copy; raises Unreachable if it is lost each time.

        Each attempt ends all that `stack` has before the next one.
        """
        for _ in range(ADOPTIONS):
            try:
                lease = await stack.enter_async_context(self._state.hold(id, wait=wait, on_rival=on_rival))
                record, copy = lease.record or await self._state.load(id), await self._backups.kept(id)
                if copy is None or (copy.version <= record.version and copy.epoch < lease.epoch):
                    return lease if lease.record is record else dataclasses.replace(lease, record=record)
                await self._adopt(id)
            except Missing:
                if not await self._adopt(id):
                    raise
            await stack.aclose()
        raise _lost_again(id)

    async def _refresh(self, id: UploadId) -> None:
        """Adopt a record that is missing, or unfinished and older than its copy, unless a request holds its lease."""
        with suppress(StorageError):  # an error with one upload must not stop the work on the others
            try:
                record = await self._state.load(id)
            except Missing:
                await self._adopt(id)
                return
            copy = None if record.status.final else await self._backups.kept(id)
            if copy is not None and copy.version > record.version:
                async with self.hold(id, wait=0, on_rival=lambda: None):
                    return

    async def _adopt(self, id: UploadId) -> bool:
        """Adopt a record from its copy; returns False if there is no copy."""
        copy = await self._backups.kept(id)
        if copy is None:
            return False
        if copy.creation_key is not None:
            await self._bind_again(copy, copy.creation_key)
        told = self._subscriptions
        await self._state.adopt(copy, created=told.created(copy), ended=told.ended(copy))
        log.warning("the record of %s… was missing or old, and is adopted from its copy at %d", id[:8], copy.offset)
        return True

    async def _bind_again(self, copy: Upload, key: CreationKey) -> None:
        """Let the key of a creation stand for its upload again, until its time is over, unless it is bound already."""
        now = await self._state.time() or copy.created
        if (kept := copy.created + KEPT - now) > 0:
            binding = Binding(id=copy.id, request=key.request)
            await self._state.creation_keys.bind(key.hash, binding, now=now, kept=kept)

    async def _adopt_if_it_can_be(self, id: UploadId) -> None:
        """Adopt a record, unless its copy is damaged: that must not stop the adoption of the others."""
        try:
            await self._adopt(id)
        except Unreachable as fault:
            await self._state.probe()  # raises if it is the state that is unreachable, and not the copy
            log.warning("the copy of %s… can't be read: %s", id[:8], shorten_ids(str(fault)))

    async def _fill_if_empty(self) -> None:
        """Adopt all copies whose records are missing, if the state or a part of it is empty."""
        if await self._state.whole():
            return
        async for id_ in self._backups.ids():
            try:
                await self._state.load(id_)
            except Missing:
                await self._adopt_if_it_can_be(id_)
        await self._state.claim(self._backups.store)
