"""Records, leases and events on Redis, for several servers that share their uploads.

The lease on an upload is a key with a random token and a time to live of 5 seconds, which its holder renews. The epoch
is stored in the record, so that a save with an older one is refused. All changes are made by the scripts of scripts.py.

    hold      queue in this process (LocalLeases) -> ACQUIRE, and while another node holds the lease:
              ask it over the bus every 0.5 s, try again after 20 to 200 ms
    held      RENEW every 1.7 s; if that fails for 5 s, `holds` is false and `on_rival` is called
    release   RELEASE; if Redis does not answer, it is repeated in the background

Why also a queue in the process: of many requests for one upload only one at a time asks Redis, and a rival in the same
process gets the lease without polling.

Two clocks are kept apart. The time to live is Redis's. Whether the lease is certainly still ours (`holds`) is measured
here, from before the request was sent, by a clock that also runs while the machine is suspended. So `holds` becomes
false before Redis gives the lease to another node, never after.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace
from redis.commands.core import AsyncScript

from onward.protocol.events import OutgoingEvent
from onward.protocol.model import Upload, UploadId
from onward.protocol.progress import Progress, progress
from onward.protocol.promises import Promise, promise
from onward.storage.base import Crowded, Durability, Full, Held, Lease, Missing, Stale, StorageError, Unreachable
from onward.storage.codec import decode, encode
from onward.storage.failure_log import Reports
from onward.storage.running.uncancellable import PendingCalls
from onward.storage.state.leases import LocalLeases
from onward.storage.state.redis import scripts
from onward.storage.state.redis.bus import PREFIX, YIELD_CHANNEL, RedisBus, message
from onward.storage.state.redis.client import connect, mapped, refusal

LEASE = 5.0  # seconds until a lease ends that its holder does not renew
POLL, POLL_MOST, GROWTH = 0.02, 0.2, 1.2  # seconds between two attempts to get a lease: first, at most; factor
ASK = 0.5  # seconds between two requests to the holder to give the lease up
DUE_BATCH = 1000  # ids that one request for due records returns at most
LEASES = 2**20  # more leases than an upload can have had since it was saved
DUE_KEY, OPEN_KEY, STORE_KEY, PROMISED_KEY = (f"{{onward}}:{name}" for name in ("due", "open", "store", "promised"))
PROBE_ID = UploadId("probe")
log = logging.getLogger("onward")


def _keys(id: UploadId) -> list[str]:
    return [f"{{onward}}:{id}:record", f"{{onward}}:{id}:lease", DUE_KEY, OPEN_KEY, PROMISED_KEY]


def _clock() -> float:
    """Return the seconds of a clock that also runs while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class _Held:
    """A lease that this process holds."""

    token: str  # the value of the lease's key in Redis
    epoch: int = 0
    until: float = 0.0  # until this time, by `_clock`, no other node can have the lease
    document: bytes = b""  # the record as it was when the lease was taken

    def holds(self) -> bool:
        return _clock() < self.until


class RedisState:
    """Records, leases and events on Redis; see the top of this file."""

    def __init__(self, url: str, node: str) -> None:
        self._node = node
        self._held: dict[tuple[UploadId, int], _Held] = {}  # our leases, by upload and epoch
        self._read_watched: Callable[[UploadId], Awaitable[Upload]] = self.load
        self._releases: set[asyncio.Task[None]] = set()  # releases that Redis did not confirm, being repeated
        self._client = connect(url)
        self._scripts = {
            text: self._client.register_script(text)
            for text in (
                scripts.INSERT, scripts.SAVE, scripts.ADOPT, scripts.FORGET, scripts.ACQUIRE, scripts.FENCED,
                scripts.RENEW, scripts.RELEASE, scripts.AT_REST, scripts.TIME, scripts.PROBE,
            )
        }  # fmt: skip
        self._queue = LocalLeases()  # of the requests in this process, the one that may ask Redis
        self._holders: dict[UploadId, Callable[[], None]] = {}  # the `on_rival` of each of our leases
        self._calls = PendingCalls()
        self._reports = Reports("Redis")
        self._bus = RedisBus(connect(url, 4), self._calls, self._reports, on_yield=self._yield, on_back=self._snapshot)

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
        events: Sequence[OutgoingEvent] = (),  # noqa: ARG002
    ) -> None:
        """Record a new upload; raises Crowded."""
        arguments = (encode(upload), upload.version, upload.epoch, *_indexed(upload), "" if most is None else most)
        if await self._run(scripts.INSERT, upload.id, *arguments) == b"CROWDED":
            raise Crowded

    async def load(self, id: UploadId) -> Upload:
        """Return the record; raises Missing."""
        with mapped(self._reports):
            document = await self._calls.end(
                cast("Awaitable[bytes | None]", self._client.hget(_keys(id)[0], "document"))
            )
        if document is None:
            raise Missing(id)
        return decode(document)

    async def save(
        self,
        upload: Upload,
        *,
        durable: bool = True,  # noqa: ARG002
        events: Sequence[OutgoingEvent] = (),  # noqa: ARG002
    ) -> Upload:
        """Replace the record and publish the progress; raises Stale or Missing."""
        saved = replace(upload, version=upload.version + 1)
        held = self._held.get((upload.id, upload.epoch))
        if held is None or not held.holds():
            await self.load(upload.id)
            raise Stale(upload.id)
        event = message(progress(saved))
        arguments = (encode(saved), upload.version, upload.epoch, *_indexed(saved), held.token, *event)
        answer = await self._run(scripts.SAVE, upload.id, *arguments)
        if answer != b"OK":
            raise (Missing if answer == b"MISSING" else Stale)(upload.id)
        return saved

    async def forget(self, id: UploadId) -> None:
        """Remove the record."""
        await self._run(scripts.FORGET, id, id)

    async def probe(self) -> None:
        """Check that Redis allows every command that uploads need, and that messages arrive."""
        try:
            await self._run(scripts.PROBE, PROBE_ID, PROBE_ID, PREFIX + PROBE_ID, YIELD_CHANNEL)
        except (Full, Unreachable) as fault:
            raise type(fault)(refusal(fault.__cause__, scripts.PROBE)) from fault
        if bus_fault := self._bus.fault:
            raise Unreachable(f"events can't be received: {refusal(bus_fault)}")

    async def time(self) -> float | None:
        """Return the time of Redis, which is the same for all nodes."""
        return float(await self._run(scripts.TIME, UploadId("")))

    async def promised(self) -> Promise:
        """Return what all unfinished uploads have been promised, by all nodes."""
        with mapped(self._reports):
            sums = await self._calls.end(
                cast("Awaitable[list[bytes | None]]", self._client.hmget(PROMISED_KEY, ["unsent", "kept"]))
            )
        return Promise(*(max(int(each or 0), 0) for each in sums))

    async def due(self, now: float) -> AsyncIterator[UploadId]:
        """Yield the ids of the records that are due, page by page; records may change between two pages."""
        last: tuple[float, bytes] = (-inf, b"")
        known = 0  # ids to skip: they have the same due time as the last one, and were yielded already
        while True:
            with mapped(self._reports):
                call = self._client.zrangebyscore(DUE_KEY, last[0], now, start=known, num=DUE_BATCH, withscores=True)
                page = cast("list[tuple[bytes, float]]", await self._calls.end(call))
            fresh = [(at, raw) for raw, at in page if (at, raw) > last]
            for _, raw in fresh:
                yield UploadId(raw.decode("ascii", "replace"))
            if len(page) < DUE_BATCH:
                return
            last, known = (fresh[-1], 0) if fresh else (last, known + len(page))

    @asynccontextmanager
    async def hold(self, id: UploadId, *, wait: float, on_rival: Callable[[], None]) -> AsyncIterator[Lease]:
        """Hold the lease, and renew it until the context ends; raises Held or Missing."""
        until = asyncio.get_running_loop().time() + wait
        async with self._queue.hold(id, wait=wait, on_rival=on_rival):
            held = _Held(secrets.token_hex(8))
            left_by = await self._acquire(id, held, until)
            if left_by == self._node:
                left_by = None  # it was this process, and its work under that lease has ended
            self._holders[id] = on_rival
            self._held[id, held.epoch] = held
            renewal = asyncio.create_task(self._renew(id, held, on_rival))
            try:
                record = decode(held.document) if held.document else None
                yield Lease(id=id, epoch=held.epoch, left_by=left_by, holds=held.holds, record=record)
            finally:
                renewal.cancel()
                del self._held[id, held.epoch], self._holders[id]
                await asyncio.shield(self._release(id, held))

    async def at_rest(self, id: UploadId) -> Upload | None:
        """Return the record if no request holds the lease and none has left it without releasing it; else None."""
        document = await self._run(scripts.AT_REST, id)
        return decode(document) if document else None

    async def fenced(self, lease: Lease, upload: Upload) -> None:  # noqa: ARG002
        """Note that the former holder can no longer change the bytes."""
        await self._run(scripts.FENCED, lease.id, lease.epoch)

    async def owner(self) -> str | None:
        """Return the name of the data folder that the state belongs to, or None if it is empty."""
        with mapped(self._reports):
            store = await self._calls.end(cast("Awaitable[bytes | None]", self._client.get(STORE_KEY)))
        return store.decode() if store else None

    async def adopt(self, upload: Upload, *, events: Sequence[OutgoingEvent] = ()) -> None:  # noqa: ARG002
        """Put a record in the place of a missing or older one; a lease that Redis has forgotten ends."""
        epoch = max(upload.epoch + LEASES, int(time.time() * 1000))  # higher than that of any forgotten lease
        document = encode(replace(upload, epoch=epoch))
        await self._run(scripts.ADOPT, upload.id, document, upload.version, epoch, *_indexed(upload), upload.epoch)

    async def claim(self, store: str) -> None:
        """Note that the state belongs to a data folder, unless it belongs to one already."""
        with mapped(self._reports):
            await self._calls.end(self._client.set(STORE_KEY, store, nx=True))

    @asynccontextmanager
    async def subscribe(self, id: UploadId) -> AsyncIterator[AsyncIterator[Progress]]:
        """Follow an upload from now on."""
        async with self._bus.subscribe(id) as messages:
            yield messages

    async def close(self) -> None:
        """Close all connections; calls that still wait for an answer are given up."""
        for release in self._releases:
            release.cancel()
        await self._bus.close()
        await asyncio.gather(*self._releases, return_exceptions=True)
        await self._client.aclose()

    async def _run(self, text: str, id: UploadId, *arguments: str | bytes | float) -> Any:
        script: AsyncScript = self._scripts[text]
        with mapped(self._reports):
            return await self._calls.end(script(keys=_keys(id), args=list(arguments)))

    async def _acquire(self, id: UploadId, held: "_Held", until: float) -> str | None:
        """Get the lease, and return the node that left it, if any; raises Held at the loop's time `until`."""
        loop = asyncio.get_running_loop()
        ask, pause = loop.time(), POLL
        while (left_by := await self._try(id, held)) is None:
            if loop.time() >= until:
                raise Held(id)
            if loop.time() >= ask:
                await self._bus.ask_to_yield(id)
                ask = loop.time() + ASK
            await asyncio.sleep(pause)
            pause = min(pause * GROWTH, POLL_MOST)
        return left_by or None

    async def _try(self, id: UploadId, held: "_Held") -> str | None:
        """Try once; returns the node that left the lease ("" for none), or None if another request holds it."""
        began = _clock()
        try:
            epoch, left_by, document = await self._run(scripts.ACQUIRE, id, held.token, int(LEASE * 1000), self._node)
        except BaseException:  # Redis may have granted the lease although the answer was lost
            await asyncio.shield(self._release(id, held))
            raise
        if epoch < 0:
            raise Missing(id)
        if epoch == 0:
            return None
        held.epoch, held.until, held.document = epoch, began + LEASE, document
        return cast("bytes", left_by).decode()

    async def _renew(self, id: UploadId, held: "_Held", on_lost: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        while held.holds():
            await asyncio.sleep(LEASE / 3)
            began = _clock()
            with suppress(StorageError, TimeoutError):
                async with asyncio.timeout_at(loop.time() + held.until - began):
                    renewed = await self._run(scripts.RENEW, id, held.token, int(LEASE * 1000))
                if not renewed:
                    break
                held.until = began + LEASE
        log.warning("the lease on %s… was lost", id[:8])
        held.until = 0.0
        on_lost()

    async def _release(self, id: UploadId, held: "_Held") -> None:
        try:
            await self._run(scripts.RELEASE, id, held.token, self._node, held.epoch)
        except StorageError as error:
            if self._calls.over:
                return
            log.warning("the lease on %s… is given up later: %s", id[:8], error)
            release = asyncio.create_task(self._release_later(id, held))
            self._releases.add(release)
            release.add_done_callback(self._releases.discard)

    async def _release_later(self, id: UploadId, held: "_Held") -> None:
        """Release the lease as soon as Redis answers; otherwise the next holder would have to fence this node."""
        while True:
            await asyncio.sleep(LEASE / 5)
            with suppress(StorageError):
                await self._run(scripts.RELEASE, id, held.token, self._node, held.epoch)
                return

    def _yield(self, id: UploadId) -> None:
        if on_rival := self._holders.get(id):
            on_rival()

    def read_watched_by(self, load: Callable[[UploadId], Awaitable[Upload]]) -> None:
        """Use `load` from now on to read the records of watched uploads."""
        self._read_watched = load

    async def _snapshot(self, id: UploadId) -> Progress | None:
        try:
            return progress(await self._read_watched(id))
        except Missing:
            return None


def _indexed(upload: Upload) -> tuple[str | float, UploadId, int, int, int]:
    """Return the arguments of the scripts that concern more than the record: due time, open set, promises."""
    due = "" if upload.due is None else upload.due
    return (due, upload.id, int(not upload.status.final), *promise(upload))


async def open_state(url: str, _data: Path, _durability: Durability = Durability.FULL, node: str = "") -> RedisState:
    """Connect to the Redis that the URL names; raises Unreachable."""
    state = RedisState(url, node)
    try:
        await state.open()
    except BaseException:
        await state.close()
        raise
    return state
