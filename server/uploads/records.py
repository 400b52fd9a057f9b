"""The records of the uploads, loaded and saved under their leases; nothing else in the server calls the state for that.

An upload that is created, and one that reaches a final status, is saved together with the events that tell of it to the
application (`protocol/events.py`). Whoever made the change - a request, the sweep, a join, another node - calls
`insert` or `end`, so no change is without its events.

`leased` is the way to change an upload. It holds the lease, and puts right what may have happened since the last save:

    lease taken -> a former holder may still write?  fence the bytes
                -> the machine has lost its memory?  the upload has failed (see below)
                -> the clock was set?                correct the times in the record
                -> the caller gets the record, changes it and calls `save` or `end`

With a relaxed durability (`process`, `none`) bytes are acknowledged that only the memory of the machine has. Such a
record is volatile: it contains the boot id of that machine. If the machine has been restarted since, the bytes may be
lost, and the upload fails rather than continue with wrong bytes. To settle an upload is to sync its bytes, and to save
a record that is not volatile any more: when the upload pauses, and when the server stops.
"""

import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from msgspec.structs import replace

from onward.protocol import decisions, lifecycle
from onward.protocol.errors import Failed
from onward.protocol.events import OutgoingEvent
from onward.protocol.model import LOST, Failure, Limits, Role, Status, Upload, UploadId
from onward.server.uploads.clock import Clock
from onward.server.uploads.end_line import log_end
from onward.server.uploads.measures import INSERT, LOAD, SAVE, SYNC, Measures
from onward.server.uploads.second_look import look_twice
from onward.server.uploads.silence import Silence
from onward.storage.base import Durability, Full, Held, Lease, Missing, Storage, StorageError, Unreachable
from onward.storage.base.records import Cursor, Page, SavesHere
from onward.storage.failpoints import reach

LABELS = 32  # different ways to end that are counted each by itself
log = logging.getLogger("onward")


class UploadRecords:
    """The records of a storage. `boot` is the boot id of the machine; `counts` says how many uploads ended how.

    `on_events` is called after events were saved with a record. `checks` are the names of the checks of this server.
    """

    def __init__(
        self, storage: Storage, limits: Limits, *, lease_wait: float, boot: str, clock: Clock | None = None
    ) -> None:
        self.storage, self.limits, self.clock = storage, limits, clock or Clock()
        self.counts, self.measures = Counter[str](), Measures()
        self.silence = Silence(limits.quiet_after)
        self._state, self._lease_wait, self._boot = storage.state, lease_wait, boot
        self._saves_here = storage.state if isinstance(storage.state, SavesHere) else None
        self.on_events: Callable[[], None] = lambda: None
        self.checks: tuple[str, ...] = ()
        self._relaxed, self._subscriptions = storage.durability.relaxed, storage.subscriptions
        self._volatile: set[UploadId] = set()
        self.unrecorded: set[UploadId] = set()  # files that are being published before they have a record (short.py)
        self._leases: dict[tuple[UploadId, int], Lease] = {}

    def to_check(self, upload: Upload) -> Upload:
        """Return a record with the names of the checks that its file has to pass, once that is whole."""
        whole = upload.status is Status.VERIFYING and upload.role is not Role.PARTIAL
        return replace(upload, checks=self.checks) if whole else upload

    async def insert(self, upload: Upload) -> Upload:
        """Record a new upload; raises Crowded and StorageError."""
        if self._relaxed:
            upload = decisions.volatile(upload, self._boot, now=self.clock(), limits=self.limits)
            self._volatile.add(upload.id)
        events = self._subscriptions.created(upload)
        work = self._state.insert(upload, durable=not self._relaxed, most=self.limits.max_open, events=events)
        await self.measures.time(INSERT, work)
        self.measures.created += 1
        reach("created")
        if events:
            self.on_events()
        return upload

    async def insert_completed(self, created: Upload, completed: Upload) -> None:
        """Record a new upload whose file is published already, with the events of its creation and of its end.

        Raises Crowded and Exceeded, after which it is certainly not recorded, and other StorageErrors.
        """
        events = (*self._subscriptions.created(created), *self._subscriptions.ended(completed))
        work = self._state.insert(completed, most=self.limits.max_open, events=events)
        await self.measures.time(INSERT, work)
        reach("recorded")
        self.measures.created += 1
        if events:
            self.on_events()
        self._note_end(completed)

    async def load(self, id: UploadId) -> Upload:
        """Return a record without holding its lease; raises Missing."""
        return await self._correct_times(await self.measures.time(LOAD, self._state.load(id)))

    async def page(
        self, *, after: Cursor | None, limit: int, statuses: Collection[Status], owner: str | None = None
    ) -> Page:
        """Return one page of the list of all uploads, or of one owner (`Records.page`), read without their leases."""
        page = await self._state.page(after=after, limit=limit, statuses=statuses, owner=owner)
        now = self.clock()
        return Page([self.carried(upload, now) for upload in page.uploads], page.damaged, page.following)

    async def count_open(self) -> Mapping[Status, int]:
        """Return how many uploads are unfinished, by status; raises StorageError."""
        return await self._state.count_open()

    async def at_rest(self, id: UploadId) -> Upload | None:
        """Return a record that no request is changing, or None if that is certain only under the lease."""
        (upload,) = await self._state.at_rest([id])
        return None if upload is None or decisions.is_lost(upload, self._boot) else await self._correct_times(upload)

    async def all_at_rest(self, ids: Sequence[UploadId]) -> list[Upload | None]:
        """Return what `at_rest` returns for each, but without asking the clock of the state for what seems expired."""
        return [self._as_it_is(upload) for upload in await self._state.at_rest(ids)]

    def remembered(self, id: UploadId) -> Upload | None:
        """Return what `all_at_rest` returns, if that takes no waiting at all; None means that it has to be asked."""
        return self._as_it_is(self._state.remembered(id))

    def _as_it_is(self, upload: Upload | None) -> Upload | None:
        if upload is None or decisions.is_lost(upload, self._boot):
            return None
        return self.carried(upload, self.clock())

    async def ask_the_time(self) -> None:
        """Follow the clock of the state, if it has one; raises StorageError."""
        asked = self.clock.elapsed()
        if (shared := await self._state.time()) is not None:
            self.clock.follow(shared, asked)

    def carried(self, upload: Upload, now: float) -> Upload:
        """Return the record; if the clock was set since it was saved, with its times moved by as much.

        `now` is what the clock has just returned.
        """
        if upload.due is None or not (by := self.clock.set_since(upload.updated, now)):
            return upload
        return lifecycle.carried(upload, by, now=now, limits=self.limits)

    async def _correct_times(self, upload: Upload) -> Upload:
        """Return the record with its times moved (`carried`); if it seems expired, ask the clock of the state first."""
        now = self.clock()
        if decisions.is_expired(upload, now):
            await self.ask_the_time()
            now = self.clock()
        return self.carried(upload, now)

    async def parts(self, final: Upload) -> list[Upload] | None:
        """Return the records of the parts of a final upload, or None if one of them is gone."""
        try:
            return [await self.load(part) for part in (final.concat.parts if final.concat else ())]
        except Missing:
            return None

    @asynccontextmanager
    async def leased(
        self, id: UploadId, on_rival: Callable[[], None], *, wait: float | None = None
    ) -> AsyncIterator[Upload]:
        """Hold the lease, and get the record as it is then; raises Held, Missing, Stale and other StorageErrors.

        `on_rival` is called when another request wants the lease. `wait` is in seconds; 0 never asks a holder.
        """
        wait = self._lease_wait if wait is None else wait
        async with self._state.hold(id, wait=wait, on_rival=on_rival) as lease:
            upload = replace(lease.record or await self._state.load(id), epoch=lease.epoch)
            if lease.left_by:
                upload = await self._fence(upload, lease)
            if decisions.is_lost(upload, self._boot):
                upload = await self.end(self.failed(upload, LOST))
            elif (carried := await self._correct_times(upload)) is not upload:
                upload = carried
                with suppress(Full):
                    upload = await self.save(upload)
            self._leases[id, lease.epoch] = lease
            try:
                yield upload
            finally:
                del self._leases[id, lease.epoch]

    def holds(self, upload: Upload) -> Callable[[], bool]:
        """Return a function that says, in any thread, whether the lease on this record is still held."""
        return self._leases[upload.id, upload.epoch].holds

    async def _fence(self, upload: Upload, lease: Lease) -> Upload:
        """Fence the former holder of the lease: it may be suspended in the middle of a write."""
        if not upload.status.final:
            joined = upload.role is Role.FINAL and upload.sha256 is None  # its offset says nothing about its bytes yet
            try:
                upload = await self._fence_bytes(upload, 0 if joined else upload.offset, lease)
            except Missing:
                upload = await self.end(self.failed(upload, LOST))
        await self._state.fenced(lease, upload)
        return upload

    async def _fence_bytes(self, upload: Upload, length: int, lease: Lease) -> Upload:
        """Move the bytes out of the reach of the former holder, unless it is dead; a new place is recorded at once."""
        if lease.left_by and await self.storage.nodes.is_dead(lease.left_by):
            return upload
        place = await look_twice(lambda: self.storage.blobs.fence(upload.place, length, lease.holds))
        return upload if place == upload.place else await self.save(replace(upload, place=place))

    async def save(self, upload: Upload, *, last: bool = False) -> Upload:
        """Save a record, which also notifies its watchers; returns it with its next version.

        `last`: nothing more is saved under this lease, which may be given up in the same step.
        Raises Stale, Missing and other StorageErrors.
        """
        upload, durable = self._to_save(upload)
        return await self._save(upload, durable, last=last)

    def save_here(self, upload: Upload) -> Callable[[], Upload] | None:
        """Save a record in the thread that calls; None if that is not possible now, and then nothing is saved.

        What is returned has to be called on the event loop: it returns and raises what `save` does.
        """
        if self._saves_here is None:
            return None
        began = time.monotonic()
        upload, durable = self._to_save(upload)
        if (take := self._saves_here.save_here(upload, durable=durable)) is None:
            return None
        seconds = time.monotonic() - began

        def note() -> Upload:
            self.measures.stores[SAVE].observe(seconds)
            return self._note_save(take())

        return note

    def _to_save(self, upload: Upload) -> tuple[Upload, bool]:
        """Return an unfinished record as it is to be saved, and whether durably."""
        durable = True
        if self._relaxed and not upload.status.final:
            durable = upload.volatile is None  # the first volatile record is durable: it marks all that follow
            if upload.volatile != self._boot:
                upload = decisions.volatile(upload, self._boot, now=self.clock(), limits=self.limits)
        return upload, durable

    async def end(self, upload: Upload, *, last: bool = False) -> Upload:
        """Save a record that has reached its final status, with its events; count and log it.

        `last` is as for `save`, and so is what is raised.
        """
        events = self._subscriptions.ended(replace(upload, version=upload.version + 1))
        saved = await self._save(upload, True, events, last=last)
        if events:
            self.on_events()
        self._note_end(saved)
        return saved

    def _note_end(self, saved: Upload) -> None:
        """Count and log an end that is recorded."""
        self.counts[self._label(saved)] += 1
        if saved.status is Status.COMPLETED and saved.role is not Role.PARTIAL:
            self.measures.sizes.observe(saved.offset)
            self.measures.durations.observe(max(saved.updated - saved.created, 0.0))
        log_end(saved)

    def _label(self, ended: Upload) -> str:
        """Return the word under which an end is counted; of the codes that checks invent, only some have their own."""
        code = ended.failure.code if ended.failure else ended.status.value
        return code if code in self.counts or len(self.counts) < LABELS else ended.status.value

    async def settle(self, upload: Upload) -> Upload:
        """Make the acknowledged bytes of an upload durable, and record that; fails the upload if they are lost."""
        if self.storage.durability is Durability.NONE or upload.status.final:
            return upload
        if upload.offset and upload.role is not Role.FINAL:  # a final upload is joined again from durable parts
            try:
                await look_twice(lambda: self.measures.time(SYNC, self.storage.blobs.sync(upload.place)))
            except Missing:
                return await self.end(self.failed(upload, LOST))
        return await self._save(decisions.durable(upload, now=self.clock(), limits=self.limits), True)

    async def settle_all(self) -> None:
        """Settle all volatile uploads of this machine; raises Unreachable if the state does not answer."""
        if self.storage.durability is Durability.PROCESS:
            await self._find_left()
        for id_ in list(self._volatile):
            try:
                async with self.leased(id_, lambda: None, wait=0) as upload:
                    await self.settle(upload)
            except (Held, Missing):  # the holder of the lease settles it
                self._volatile.discard(id_)
            except Unreachable:
                await self._state.probe()  # raises if it is the state; otherwise only these bytes are unreachable
            except StorageError:
                continue
            except Exception:  # an error with one upload must not stop the others from being settled
                log.exception("upload %s… could not be settled", id_[:8])

    async def _find_left(self) -> None:
        """Find the volatile uploads of an earlier process on this machine, which may have been killed a moment ago."""
        async for id_ in self._state.due(self.clock() + max(self.limits.quiet_after, lifecycle.LONGEST_WAIT)):
            with suppress(StorageError):
                if (await self._state.load(id_)).volatile == self._boot:
                    self._volatile.add(id_)

    @property
    def unsettled(self) -> int:
        """Return how many uploads have acknowledged bytes that are not durable yet, but should become so."""
        return 0 if self.storage.durability is Durability.NONE else len(self._volatile)

    def failed(self, upload: Upload, failure: Failure, sha256: bytes | None = None) -> Upload:
        """Return the record of an upload that has failed; it is not saved yet."""
        return decisions.failed(upload, failure, now=self.clock(), limits=self.limits, sha256=sha256)

    async def _save(
        self, upload: Upload, durable: bool, events: Sequence[OutgoingEvent] = (), *, last: bool = False
    ) -> Upload:
        saved = await self.measures.time(SAVE, self._state.save(upload, durable=durable, events=events, last=last))
        return self._note_save(saved)

    def _note_save(self, saved: Upload) -> Upload:
        reach("recorded")
        self.silence.note(saved)
        if saved.volatile is None:
            self._volatile.discard(saved.id)
        else:
            self._volatile.add(saved.id)
        return saved


def check_not_failed(upload: Upload) -> Upload:
    """Return the upload unless it has failed; raises Failed."""
    if upload.failure is not None:
        raise Failed(upload.failure)
    return upload
