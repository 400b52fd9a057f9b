"""Sends events to all watchers of this process: one subscription for each watched upload, many watchers on it.

    state.subscribe(id) ──▶ Topic ──▶ Subscriber ──▶ websocket.py or sse.py
                              └─────▶ Subscriber ──▶ …

A new watcher first waits until the subscription is confirmed. Then it gets the state of the upload, read from the
record, and after that only events that are newer. So it misses nothing, and gets nothing twice. The progress routes
(`server/watch/routes.py`) enter watchers here; `server/background.py` runs the check.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from onward.protocol.errors import Crowded, Unavailable
from onward.protocol.model import UploadId
from onward.protocol.progress import Progress
from onward.server.watch.subscriber import Subscriber
from onward.storage.base import State

BATCH = 50  # watchers that get a message before the event loop may do other work
PACE = 0.25  # seconds from the beginning of a round of messages to the next, if rounds take long
REST, LEAST_REST = 19.0, 2.0  # the rest after a round, in multiples of its duration: at most, and at least
CHECK_EVERY = 1.0  # seconds between two checks for watchers that have left or do not read
log = logging.getLogger("onward")


async def _newest(events: AsyncIterator[Progress], rest: float) -> Progress:
    """Return the newest message after a rest; a final one at once."""
    loop = asyncio.get_running_loop()
    until = loop.time() + rest
    message = await anext(events)
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            while not message.final and loop.time() < until:
                message = await anext(events)
    return message


class Topic:
    """The watchers of one upload in this process."""

    def __init__(self, state: State, id: UploadId) -> None:
        self.watchers: set[Subscriber] = set()
        self.ready = asyncio.Event()
        self.task = asyncio.create_task(self._follow(state, id))
        self.task.add_done_callback(self._ended)

    def add(self, watcher: Subscriber) -> None:
        """Add a watcher; it ends at once if the subscription has failed."""
        self.watchers.add(watcher)
        if self.task.done():
            watcher.end()

    async def _follow(self, state: State, id: UploadId) -> None:
        async with state.subscribe(id) as events:
            self.ready.set()
            took = 0.0
            while True:
                rest = min(REST * took, max(PACE - took, LEAST_REST * took))
                took = await self._send(await _newest(events, rest))

    async def _send(self, message: Progress) -> float:
        """Give a message to all watchers, and return how many seconds that took."""
        loop = asyncio.get_running_loop()
        began, watchers = loop.time(), list(self.watchers)
        for first in range(0, len(watchers), BATCH):
            for watcher in watchers[first : first + BATCH]:
                watcher.put(message)
            await asyncio.sleep(0)
        return loop.time() - began

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.error("the events of an upload failed, and its watchers are disconnected", exc_info=task.exception())
        self.ready.set()
        for watcher in self.watchers:
            watcher.end()


class Broadcast:
    """All watchers of this process. `per_upload` and `per_address` limit their number; 0 means no limit."""

    def __init__(self, state: State, *, per_upload: int, per_address: int) -> None:
        self.watchers: set[Subscriber] = set()
        self._state, self._per_upload, self._per_address = state, per_upload, per_address
        self._topics: dict[UploadId, Topic] = {}
        self._addresses: Counter[str] = Counter()
        self._ending: set[asyncio.Task[None]] = set()
        self._stopping = False

    @contextmanager
    def joined(self, transport: asyncio.Transport, address: str, ids: Sequence[UploadId]) -> Iterator[Subscriber]:
        """Enter a watcher of some uploads; raises Crowded, or Unavailable while the server stops."""
        self._check_limits(address, ids)
        watcher = Subscriber(transport, address, ids)
        self.watchers.add(watcher)
        self._addresses[address] += 1
        for id_ in ids:
            if id_ not in self._topics:
                self._topics[id_] = Topic(self._state, id_)
            self._topics[id_].add(watcher)
        try:
            yield watcher
        finally:
            self._leave(watcher)

    async def ready(self, watcher: Subscriber) -> None:
        """Wait until the subscriptions of all uploads of a watcher are confirmed: from then on no event is missed."""
        for id_ in watcher.sent:
            await self._topics[id_].ready.wait()

    async def check_for_ever(self) -> None:
        """Disconnect, again and again, the watchers that have left or do not read."""
        while True:
            await asyncio.sleep(CHECK_EVERY)
            self._check_all(asyncio.get_running_loop().time())

    def stop(self) -> None:
        """End all watchers, and accept no more."""
        self._stopping = True
        for watcher in self.watchers:
            watcher.end()

    def _check_all(self, now: float) -> None:
        for watcher in self.watchers:
            try:
                watcher.check(now)
            except Exception:
                log.exception("a watcher could not be checked; the others are")

    def _check_limits(self, address: str, ids: Iterable[UploadId]) -> None:
        if self._stopping:
            raise Unavailable("The server is stopping.")
        if 0 < self._per_address <= self._addresses[address]:
            raise Crowded("There are too many watchers from this address.")
        for id_ in ids if self._per_upload else ():
            if id_ in self._topics and len(self._topics[id_].watchers) >= self._per_upload:
                raise Crowded(f"There are too many watchers of {id_}.")

    def _leave(self, watcher: Subscriber) -> None:
        watcher.leave()
        self.watchers.discard(watcher)
        self._addresses[watcher.address] -= 1
        if not self._addresses[watcher.address]:
            del self._addresses[watcher.address]
        for id_ in watcher.sent:
            topic = self._topics[id_]
            topic.watchers.discard(watcher)
            if not topic.watchers:
                del self._topics[id_]
                topic.task.cancel()
                self._ending.add(topic.task)
                topic.task.add_done_callback(self._ending.discard)
