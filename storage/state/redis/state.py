"""Records, leases and events on Redis, for several servers that share their uploads.

state.py        RedisState: the records, and all parts together
keys.py         the names of all keys; the buckets that spread the uploads over a cluster
scripts.py      what Redis has to do in one step; all changes are made by these scripts
leases.py       one holder for each upload
outbox.py       events that wait for delivery
hints.py        which upload had the same bytes
creation_keys.py  which upload a repeated creation means
open_limit.py   --max-open among all servers
quotas.py       what the owners of uploads have
due.py          what the sweep has to look at, from all buckets
listing.py      the list of all uploads, from all buckets
bus.py          messages between processes
commands.py     calls that run to their end, with the errors of the seams
pipelined_connection.py  one connection, on which many short commands are under way
client.py       clients of one Redis, of Sentinels and of a cluster
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from onward.protocol.events import OutgoingEvent
from onward.protocol.model import GONE, Status, Upload, UploadId
from onward.protocol.progress import Progress, progress
from onward.protocol.promises import Promise, promise
from onward.storage.base import Cursor, Durability, Exceeded, Full, Lease, Missing, Page, Stale, Unreachable
from onward.storage.codec import decode, encode
from onward.storage.failure_log import Reports
from onward.storage.running.uncancellable import PendingCalls
from onward.storage.state.redis import scripts
from onward.storage.state.redis.bus import RedisBus, message
from onward.storage.state.redis.client import connect, mapped, refusal
from onward.storage.state.redis.commands import Commands
from onward.storage.state.redis.creation_keys import RedisCreationKeys
from onward.storage.state.redis.due import all_due
from onward.storage.state.redis.hints import RedisHints
from onward.storage.state.redis.keys import (
    BUCKETS,
    PROGRESS_PREFIX,
    YIELD_CHANNEL,
    Bucket,
    hashed,
    keys_beside_reservations,
    keys_of,
    owned_entry,
)  # fmt: skip
from onward.storage.state.redis.leases import RedisLeases
from onward.storage.state.redis.listing import count_open, read_page
from onward.storage.state.redis.open_limit import OpenLimit
from onward.storage.state.redis.outbox import RedisOutbox, put_arguments
from onward.storage.state.redis.quotas import RedisQuotas, nothing

LEASES = 2**20  # more leases than an upload can have had since it was saved
PROBE_ID = UploadId("probe")
CLOCK_KEY = BUCKETS[0].due  # the server of a cluster that has this key is asked for the time


class RedisState:
    """Records, leases and events on Redis; see the top of this file."""

    is_own = False

    def __init__(self, url: str, node: str) -> None:
        self._read_watched: Callable[[UploadId], Awaitable[Upload]] = self.load
        self._arrived: Callable[[UploadId], int] = lambda _: 0
        self._client = connect(url)
        self._calls, self._reports = PendingCalls(), Reports("Redis")
        self._commands = Commands(self._client, self._calls, self._reports)
        self._bus = RedisBus(connect(url, 4), self._calls, self._reports, on_yield=self._yield, on_back=self._snapshot)
        self._leases = RedisLeases(self._commands, node, self._bus.ask_to_yield)
        self._limit = OpenLimit(self._commands)
        self.outbox = RedisOutbox(self._commands)
        self.hints = RedisHints(self._commands)
        self.creation_keys = RedisCreationKeys(self._commands)
        self.quotas = RedisQuotas(self._commands)

    async def open(self) -> None:
        """Check that Redis answers, and begin to listen; raises Unreachable."""
        with mapped():
            await self._client.ping()
        await self._bus.open()

    async def insert(
        self,
        upload: Upload,
        *,
        durable: bool = True,  # noqa: ARG002
        most: int | None = None,
        events: Sequence[OutgoingEvent] = (),
        begin: Callable[[], Awaitable[None]] = nothing,
    ) -> None:
        """Record a new upload, after `begin` was called; raises Crowded, Exceeded or Stale."""
        limited, charged = most is not None, upload.allowance is not None
        if most is not None:
            await self._limit.reserve(upload.id, most)
        reservations = (int(limited), upload.created, int(charged), _entry(upload))
        arguments = (encode(upload), upload.version, upload.epoch, *_indexed(upload), *reservations)
        try:
            if charged:
                await self.quotas.reserve(upload)
            await begin()
            answer = await self._run(scripts.INSERT, upload.id, *arguments, events=events)
        except (Exceeded, Full) as fault:
            if limited:
                await self._limit.give_back(upload.id)
            if charged and isinstance(fault, Full):
                await self.quotas.give_back(upload)
            raise
        if (
            answer == b"KNOWN" and upload.creation_key is not None
        ):  # otherwise it is the caller's, and was changed since
            raise Stale(upload.id)
        if answer == b"BARRED":
            raise Unreachable("the upload was recorded too late: its reservation has been removed")

    async def load(self, id: UploadId, *, fresh: bool = False) -> Upload:  # noqa: ARG002 - no record is remembered
        """Return the record; raises Missing."""
        document = await self._commands.ask("HGET", keys_of(id).record, "document")
        if document is None:
            raise Missing(id)
        return decode(document)

    async def save(
        self,
        upload: Upload,
        *,
        durable: bool = True,  # noqa: ARG002
        events: Sequence[OutgoingEvent] = (),
        last: bool = False,
    ) -> Upload:
        """Replace the record and publish the progress; raises Stale or Missing.

        The last save gives the lease up, unless something about a quota has still to be done under it.
        """
        saved = replace(upload, version=upload.version + 1)
        last = last and upload.allowance is None
        token = self._leases.token(upload.id, upload.epoch, last=last)
        if token is None:
            await self.load(upload.id)
            raise Stale(upload.id)
        if upload.allowance is not None and upload.status in GONE:
            await self.quotas.mark_unsure(upload)
        told = message(progress(saved, self._arrived(upload.id)))
        ending = self._leases.node if last else ""
        arguments = (encode(saved), upload.version, upload.epoch, *_indexed(saved), token, *told, ending)
        answer, *has = (await self._run(scripts.SAVE, upload.id, *arguments, events=events)).split()
        if answer != b"OK":
            raise (Missing if answer == b"MISSING" else Stale)(upload.id)
        if last:
            self._leases.released(upload.id, upload.epoch)
        if b"reserved" in has and upload.status.final:
            await self._limit.give_back(upload.id)
        if b"charged" in has and upload.status in GONE:
            await self.quotas.give_back(upload)
        return saved

    async def forget(self, id: UploadId) -> None:
        """Remove the record."""
        reserved, charged = await self._run(scripts.FORGET, id, id)
        if reserved:
            await self._limit.give_back(id)
        if charged:
            await self.quotas.give_back(decode(charged))

    async def probe(self) -> None:
        """Check that Redis allows every command that uploads need, and that messages arrive."""
        try:
            for keys in (keys_of(PROBE_ID), keys_beside_reservations(PROBE_ID)):
                await self._commands.run(scripts.PROBE, keys, PROBE_ID, PROGRESS_PREFIX + PROBE_ID, YIELD_CHANNEL)
        except (Full, Unreachable) as fault:
            raise type(fault)(refusal(fault.__cause__, scripts.PROBE)) from fault
        if bus_fault := self._bus.fault:
            raise Unreachable(f"events can't be received: {refusal(bus_fault)}")

    async def time(self) -> float | None:
        """Return the time of Redis, which is the same for all nodes."""
        return float(await self._commands.run(scripts.TIME, [CLOCK_KEY]))

    async def promised(self) -> Promise:
        """Return what all unfinished uploads have been promised, by all nodes."""

        def ask(pipeline: Any, bucket: Bucket) -> None:
            pipeline.hmget(bucket.promised, ["unsent", "kept"])

        sums = zip(*await self._commands.of_each(BUCKETS, ask), strict=True)
        return Promise(*(max(sum(int(each or 0) for each in column), 0) for column in sums))

    async def count_open(self) -> Mapping[Status, int]:
        """Return how many unfinished uploads have each status."""
        return await count_open(self._commands)

    def due(self, now: float) -> AsyncIterator[UploadId]:
        """Yield the ids of the records that are due, the earliest first; records may change between two pages."""
        return all_due(self._commands, now)

    async def page(
        self, *, after: Cursor | None, limit: int, statuses: Collection[Status], owner: str | None = None
    ) -> Page:
        """Return the uploads of one page, the newest first; those with another status leave it shorter."""
        return await read_page(self._commands, after, limit, statuses, owner)

    def hold(self, id: UploadId, *, wait: float, on_rival: Callable[[], None]) -> AbstractAsyncContextManager[Lease]:
        """Hold the lease, and renew it until the context ends; raises Held or Missing."""
        return self._leases.hold(id, wait=wait, on_rival=on_rival)

    async def at_rest(self, ids: Sequence[UploadId]) -> list[Upload | None]:
        """Return each record if no request holds the lease and none has left it without releasing it; else None."""
        documents = await self._commands.run_for(scripts.AT_REST, [keys_of(id_)[:2] for id_ in ids])
        return [_decoded(document) for document in documents]

    def remembered(self, id: UploadId) -> Upload | None:  # noqa: ARG002
        """Return None: other servers change the records as well."""
        return None

    async def fenced(self, lease: Lease, upload: Upload) -> None:  # noqa: ARG002
        """Note that the former holder can no longer change the bytes."""
        await self._run(scripts.FENCED, lease.id, lease.epoch)

    async def owner(self) -> str | None:
        """Return the name of the data folder that the state belongs to, or None if it is empty."""
        return next((name.decode() for name in await self._names() if name), None)

    async def whole(self) -> bool:
        """Return whether every bucket has the name of the data folder."""
        return all(await self._names())

    async def adopt(
        self, upload: Upload, *, created: Sequence[OutgoingEvent] = (), ended: Sequence[OutgoingEvent] = ()
    ) -> None:
        """Put a record in the place of a missing or older one; a lease that Redis has forgotten ends."""
        epoch = max(upload.epoch + LEASES, int(time.time() * 1000))  # higher than that of any forgotten lease
        document = encode(replace(upload, epoch=epoch))
        arguments = (document, upload.version, epoch, *_indexed(upload), upload.epoch)
        if upload.allowance is not None:
            await self.quotas.restore(upload)
        more = (upload.created, upload.status if ended else "", _entry(upload))
        await self._run(scripts.ADOPT, upload.id, *arguments, *more, events=ended or created)

    async def claim(self, store: str) -> None:
        """Note that the state belongs to a data folder, unless it belongs to one already.

        The first bucket decides, if two data folders claim an empty Redis at the same moment.
        """

        def put(pipeline: Any, bucket: Bucket) -> None:
            pipeline.set(bucket.store, store, nx=True)

        await self._commands.of_each(BUCKETS[:1], put)
        if await self.owner() == store:
            await self._commands.of_each(BUCKETS[1:], put)

    def subscribe(self, id: UploadId) -> AbstractAsyncContextManager[AsyncIterator[Progress]]:
        """Follow an upload from now on."""
        return self._bus.subscribe(id)

    async def close(self) -> None:
        """Close all connections; calls that still wait for an answer are given up."""
        releases = self._leases.give_up()
        self._commands.give_up()
        await self._bus.close()
        await asyncio.gather(*releases, return_exceptions=True)
        await self._client.aclose()

    def count_arrived_by(self, arrived: Callable[[UploadId], int]) -> None:
        """Ask `arrived` for each message how many bytes have arrived."""
        self._arrived = arrived

    async def tell(self, upload: Upload) -> bool:
        """Send a message about more bytes to the watchers of all processes."""
        return await self._bus.tell(progress(upload, self._arrived(upload.id)))

    def read_watched_by(self, load: Callable[[UploadId], Awaitable[Upload]]) -> None:
        """Use `load` from now on to read the records of watched uploads."""
        self._read_watched = load

    def fill_before_count(self, fill: Callable[[], Awaitable[None]]) -> None:
        """Call `fill` from now on before the uploads of an owner are counted."""
        self.quotas.fill = fill

    def refresh_before_examination(self, refresh: Callable[[UploadId], Awaitable[None]]) -> None:
        """Call `refresh` from now on with each upload whose reservation is about to be examined."""
        self.quotas.refresh = refresh

    async def _names(self) -> list[bytes | None]:
        """Return the name of the data folder from each bucket."""

        def ask(pipeline: Any, bucket: Bucket) -> None:
            pipeline.get(bucket.store)

        return await self._commands.of_each(BUCKETS, ask)

    async def _run(
        self, text: str, id: UploadId, *arguments: str | bytes | float, events: Sequence[OutgoingEvent] = ()
    ) -> Any:
        """Run a script on an upload, which also puts `events` into the outbox."""
        if not events:
            return await self._commands.run(text, keys_of(id), *arguments)
        keys, further = put_arguments(events)
        answer = await self._commands.run(text, (*keys_of(id), *keys), *arguments, *further)
        self.outbox.note(events)
        return answer

    def _yield(self, id: UploadId) -> None:
        self._leases.give_way(id)

    async def _snapshot(self, id: UploadId) -> Progress | None:
        try:
            return progress(await self._read_watched(id), self._arrived(id))
        except Missing:
            return None


def _decoded(document: bytes | None) -> Upload | None:
    """Return a record, or None if there is none or it is damaged; a damaged one is reported under the lease."""
    with suppress(Unreachable):
        return None if document is None else decode(document)
    return None


def _indexed(upload: Upload) -> tuple[str | float, UploadId, int, int, int]:
    """Return the arguments of the scripts that concern more than the record: due time, open set, promises."""
    due = "" if upload.due is None else upload.due
    return (due, upload.id, int(not upload.status.final), *promise(upload))


def _entry(upload: Upload) -> str:
    """Return the entry in the list of an owner's uploads; '' if there is no owner."""
    return "" if upload.owner is None else owned_entry(hashed(upload.owner), Cursor(upload.created, upload.id))


async def open_state(url: str, _data: Path, _durability: Durability = Durability.FULL, node: str = "") -> RedisState:
    """Connect to the Redis that the URL names; raises Unreachable."""
    state = RedisState(url, node)
    try:
        await state.open()
    except BaseException:
        await state.close()
        raise
    return state
