"""All who watch here: for each watched upload one subscription, from which all its watchers are told in turn.

Who joins is told the state that is read after the subscription was confirmed, then only what is newer.
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

BATCH = 50  # watchers that are told before the event loop gets to other work
PACE = 0.25  # seconds from the beginning of a round to the next, where they take long
REST, LEAST_REST = 19.0, 2.0  # times as long as a round took, up to that pace, and above it
LOOK = 1.0  # seconds between two looks for those who have left or don't read
log = logging.getLogger("onward")


async def _newest(events: AsyncIterator[Progress], rest: float) -> Progress:
    """Give the newest message after a rest; a final one at once."""
    loop = asyncio.get_running_loop()
    until = loop.time() + rest
    message = await anext(events)
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            while not message.final and loop.time() < until:
                message = await anext(events)
    return message


class Topic:
    """All who watch one upload here."""

    def __init__(self, state: State, id: UploadId) -> None:
        self.watchers: set[Subscriber] = set()
        self.ready = asyncio.Event()
        self.task = asyncio.create_task(self._follow(state, id))
        self.task.add_done_callback(self._ended)

    def add(self, watcher: Subscriber) -> None:
        """Let somebody watch."""
        self.watchers.add(watcher)
        if self.task.done():
            watcher.end()

    async def _follow(self, state: State, id: UploadId) -> None:
        async with state.subscribe(id) as events:
            self.ready.set()
            took = 0.0
            while True:
                rest = min(REST * took, max(PACE - took, LEAST_REST * took))
                took = await self._tell(await _newest(events, rest))

    async def _tell(self, message: Progress) -> float:
        """Give everybody a message; gives the seconds that it took."""
        loop = asyncio.get_running_loop()
        began, watchers = loop.time(), list(self.watchers)
        for first in range(0, len(watchers), BATCH):
            for watcher in watchers[first : first + BATCH]:
                watcher.put(message)
            await asyncio.sleep(0)
        return loop.time() - began

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.error("the watchers of an upload are let go", exc_info=task.exception())
        self.ready.set()
        for watcher in self.watchers:
            watcher.end()


class Broadcast:
    """All who watch here; at most so many of one upload, and from one address, 0 for no limit."""

    def __init__(self, state: State, *, per_upload: int, per_address: int) -> None:
        self.watchers: set[Subscriber] = set()
        self._state, self._per_upload, self._per_address = state, per_upload, per_address
        self._broadcast: dict[UploadId, Topic] = {}
        self._addresses: Counter[str] = Counter()
        self._ending: set[asyncio.Task[None]] = set()
        self._stopping = False

    @contextmanager
    def joined(self, transport: asyncio.Transport, address: str, ids: Sequence[UploadId]) -> Iterator[Subscriber]:
        """Let somebody watch uploads; raises Crowded or Unavailable."""
        self._check(address, ids)
        watcher = Subscriber(transport, address, ids)
        self.watchers.add(watcher)
        self._addresses[address] += 1
        for id_ in ids:
            if id_ not in self._broadcast:
                self._broadcast[id_] = Topic(self._state, id_)
            self._broadcast[id_].add(watcher)
        try:
            yield watcher
        finally:
            self._leave(watcher)

    async def ready(self, watcher: Subscriber) -> None:
        """Wait until every event about what somebody watches will be heard."""
        for id_ in watcher.told:
            await self._broadcast[id_].ready.wait()

    async def look_for_ever(self) -> None:
        """Let go of those who have left, or don't read."""
        while True:
            await asyncio.sleep(LOOK)
            self._look(asyncio.get_running_loop().time())

    def stop(self) -> None:
        """Let go of everybody, and take nobody more."""
        self._stopping = True
        for watcher in self.watchers:
            watcher.end()

    def _look(self, now: float) -> None:
        for watcher in self.watchers:
            try:
                watcher.check(now)
            except Exception:
                log.exception("a watcher could not be looked at; the others are")

    def _check(self, address: str, ids: Iterable[UploadId]) -> None:
        if self._stopping:
            raise Unavailable("The server is stopping.")
        if 0 < self._per_address <= self._addresses[address]:
            raise Crowded("There are too many watchers from this address.")
        for id_ in ids if self._per_upload else ():
            if id_ in self._broadcast and len(self._broadcast[id_].watchers) >= self._per_upload:
                raise Crowded(f"There are too many watchers of {id_}.")

    def _leave(self, watcher: Subscriber) -> None:
        watcher.leave()
        self.watchers.discard(watcher)
        self._addresses[watcher.address] -= 1
        if not self._addresses[watcher.address]:
            del self._addresses[watcher.address]
        for id_ in watcher.told:
            topic = self._broadcast[id_]
            topic.watchers.discard(watcher)
            if not topic.watchers:
                del self._broadcast[id_]
                topic.task.cancel()
                self._ending.add(topic.task)
                topic.task.add_done_callback(self._ending.discard)
