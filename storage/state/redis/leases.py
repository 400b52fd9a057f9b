"""Leases on Redis: one holder for each upload among all servers.

The lease on an upload is a key with a random token and a time to live of 5 seconds, which its holder renews. The epoch
is stored in the record, so that a save with an older one is refused. All changes are made by the scripts of scripts.py.

    hold      queue in this process (LocalLeases) -> ACQUIRE, and while another node holds the lease:
              ask it over the bus every 0.5 s, try again after 20 to 200 ms
    held      RENEW every 1.7 s; if that fails for 5 s, `holds` is false and `on_rival` is called
    release   the last SAVE, or RELEASE; if Redis does not answer, RELEASE is repeated in the background

Why also a queue in the process: of many requests for one upload only one at a time asks Redis, and a rival in the same
process gets the lease without polling.

Two clocks are kept apart. The time to live is Redis's. Whether the lease is certainly still ours (`holds`) is measured
here, from before the request was sent, by a clock that also runs while the machine is suspended. So `holds` becomes
false before Redis gives the lease to another node, never after.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from onward.protocol.model import UploadId
from onward.storage.base import Held, Lease, Missing, StorageError
from onward.storage.codec import decode
from onward.storage.random_ids import random_id
from onward.storage.state.leases import LocalLeases
from onward.storage.state.redis import scripts
from onward.storage.state.redis.commands import Commands
from onward.storage.state.redis.keys import keys_of

LEASE = 5.0  # seconds until a lease ends that its holder does not renew
POLL, POLL_MOST, GROWTH = 0.02, 0.2, 1.2  # seconds between two attempts to get a lease: first, at most; factor
ASK = 0.5  # seconds between two requests to the holder to give the lease up
log = logging.getLogger("onward")


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
    ending: bool = False  # whether the last save, which gives it up, has been sent
    released: bool = False  # whether that save has succeeded

    def holds(self) -> bool:
        return not self.ending and _clock() < self.until


class _Renewal:
    """Renews a lease for as long as it is held; a lease that is held for a short time needs no task."""

    def __init__(self, renew: Callable[[], Coroutine[None, None, None]]) -> None:
        self._renew = renew
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(LEASE / 3, self._begin)

    def cancel(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._renew())


class RedisLeases:
    """The leases of one node; see the top of this file. `ask_to_yield` sends a request to the holder of a lease."""

    def __init__(self, commands: Commands, node: str, ask_to_yield: Callable[[UploadId], Awaitable[None]]) -> None:
        self._commands, self.node, self._ask_to_yield = commands, node, ask_to_yield
        self._queue = LocalLeases()  # which request of this process may ask Redis; the others wait
        self._held: dict[tuple[UploadId, int], _Held] = {}  # our leases, by upload and epoch
        self._holders: dict[UploadId, Callable[[], None]] = {}  # the `on_rival` of each of our leases
        self._releases: set[asyncio.Task[None]] = set()  # releases that Redis did not confirm, being repeated

    @asynccontextmanager
    async def hold(self, id: UploadId, *, wait: float, on_rival: Callable[[], None]) -> AsyncIterator[Lease]:
        """Hold the lease, and renew it until the context ends; raises Held or Missing."""
        until = asyncio.get_running_loop().time() + wait
        async with self._queue.hold(id, wait=wait, on_rival=on_rival):
            held = _Held(random_id())
            left_by = await self._acquire(id, held, until)
            if left_by == self.node:
                left_by = None  # it was this process, and its work under that lease has ended
            self._holders[id] = on_rival
            self._held[id, held.epoch] = held
            renewal = _Renewal(partial(self._renew, id, held, on_rival))
            try:
                record = decode(held.document) if held.document else None
                yield Lease(id=id, epoch=held.epoch, left_by=left_by, holds=held.holds, record=record)
            finally:
                renewal.cancel()
                del self._held[id, held.epoch], self._holders[id]
                if not held.released:
                    await self._release(id, held)

    def token(self, id: UploadId, epoch: int, *, last: bool = False) -> str | None:
        """Return what proves a lease to the script that saves; None if it is not certain that it is still held.

        With `last` the save also gives the lease up, so from now on it does not count as held: the answer may be lost.
        """
        held = self._held.get((id, epoch))
        if held is None or not held.holds():
            return None
        held.ending = last
        return held.token

    def released(self, id: UploadId, epoch: int) -> None:
        """Note that the last save has given up a lease."""
        if held := self._held.get((id, epoch)):
            held.released = True

    def give_way(self, id: UploadId) -> None:
        """Tell the holder of a lease of this process that another node wants it."""
        if on_rival := self._holders.get(id):
            on_rival()

    def give_up(self) -> set[asyncio.Task[None]]:
        """Cancel the releases that are still repeated; returns their tasks."""
        for release in self._releases:
            release.cancel()
        return self._releases

    async def _run(self, text: str, id: UploadId, *arguments: str | int) -> Any:
        return await self._commands.run(text, keys_of(id), *arguments)

    async def _acquire(self, id: UploadId, held: _Held, until: float) -> str | None:
        """Get the lease, and return the node that left it, if any; raises Held at the loop's time `until`."""
        loop = asyncio.get_running_loop()
        ask, pause = loop.time(), POLL
        while (left_by := await self._try(id, held)) is None:
            if loop.time() >= until:
                raise Held(id)
            if loop.time() >= ask:
                await self._ask_to_yield(id)
                ask = loop.time() + ASK
            await asyncio.sleep(pause)
            pause = min(pause * GROWTH, POLL_MOST)
        return left_by or None

    async def _try(self, id: UploadId, held: _Held) -> str | None:
        """Try once; returns the node that left the lease ("" for none), or None if another request holds it."""
        began = _clock()
        try:
            epoch, left_by, document = await self._run(scripts.ACQUIRE, id, held.token, int(LEASE * 1000), self.node)
        except BaseException:  # Redis may have granted the lease although the answer was lost
            await asyncio.shield(self._release(id, held))
            raise
        if epoch < 0:
            raise Missing(id)
        if epoch == 0:
            return None
        held.epoch, held.until, held.document = epoch, began + LEASE, document
        return cast("bytes", left_by).decode()

    async def _renew(self, id: UploadId, held: _Held, on_lost: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        while held.holds():
            began = _clock()
            with suppress(StorageError, TimeoutError):
                async with asyncio.timeout_at(loop.time() + held.until - began):
                    renewed = await self._run(scripts.RENEW, id, held.token, int(LEASE * 1000))
                if not renewed:
                    break
                held.until = began + LEASE
            await asyncio.sleep(LEASE / 3)
        if held.ending:
            return
        log.warning("the lease on %s… was lost", id[:8])
        held.until = 0.0
        on_lost()

    async def _release(self, id: UploadId, held: _Held) -> None:
        try:
            await self._run(scripts.RELEASE, id, held.token, self.node, held.epoch)
        except StorageError as error:
            if self._commands.calls.over:
                return
            log.warning("the lease on %s… is given up later: %s", id[:8], error)
            self._release_in_background(id, held)
        except asyncio.CancelledError:  # it is not known whether it was released
            self._release_in_background(id, held)
            raise

    def _release_in_background(self, id: UploadId, held: _Held) -> None:
        release = asyncio.create_task(self._release_later(id, held))
        self._releases.add(release)
        release.add_done_callback(self._releases.discard)

    async def _release_later(self, id: UploadId, held: _Held) -> None:
        """Release the lease as soon as Redis answers; otherwise the next holder would have to fence this node."""
        while True:
            await asyncio.sleep(LEASE / 5)
            with suppress(StorageError):
                await self._run(scripts.RELEASE, id, held.token, self.node, held.epoch)
                return
