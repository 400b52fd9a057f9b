"""Messages between processes over Redis (pub/sub): progress for watchers, and requests to give up a lease.

One connection per process listens for all watchers of that process, and reconnects by itself. Redis does not keep
messages for a listener that is away. So after each reconnection the record of every watched upload is read, and again
whenever an upload was silent for 3 seconds: the server that saved the record may have crashed, or lost its connection,
before it could publish the message.

    SAVE script (scripts.py) --PUBLISH--> onward:progress:ID --> _listen --> Hub --> the mailbox of each watcher
    tell, between two saves  --PUBLISH--> onward:progress:ID
    ask_to_yield             --PUBLISH--> onward:yield       --> _listen --> on_rival of the holder
    _look_for_ever: silence --> the record ---------------------------------> Hub

In a cluster a message is passed on to all masters, so it does not matter which of them a process listens to.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from redis import asyncio as aioredis
from redis.asyncio.cluster import RedisCluster

from onward.protocol.model import UploadId
from onward.protocol.progress import Progress
from onward.storage.base import StorageError, Unreachable
from onward.storage.failure_log import Reports
from onward.storage.running.uncancellable import PendingCalls
from onward.storage.state.hub import Hub
from onward.storage.state.redis.client import FAULTS
from onward.storage.state.redis.keys import PROGRESS_PREFIX, YIELD_CHANNEL

CONFIRMED_WITHIN = 2.0  # seconds that a new watcher waits until Redis has confirmed the subscription
TAKEN_WITHIN = 2.0  # seconds until a message that Redis does not take is given up
BACK_OFF = 0.2  # seconds until the next attempt to connect
LOOK = 3.0  # seconds of silence until the record of a watched upload is read
AT_ONCE = 32  # records that are read at the same time; the other connections are left to uploads
LISTEN = 0.25  # seconds that one call listens, and that closing may have to wait
# While redis-py reconnects, it also raises the last four, by accident.
LOST = (*FAULTS, AttributeError, LookupError, RuntimeError, TypeError)
log = logging.getLogger("onward")
_decoder = msgspec.json.Decoder(Progress)


def message(progress: Progress) -> tuple[str, bytes]:
    """Return the channel and the text of the message to the watchers in all processes."""
    return PROGRESS_PREFIX + progress.id, msgspec.json.encode(progress)


class RedisBus:
    """Progress, and requests to give up a lease, between processes."""

    def __init__(
        self,
        client: "aioredis.Redis",
        calls: PendingCalls,
        reports: Reports,
        *,
        on_yield: Callable[[UploadId], None],
        on_back: Callable[[UploadId], Awaitable[Progress | None]],
    ) -> None:
        self._client, self._calls, self._reports = client, calls, reports
        self._on_yield, self._on_back = on_yield, on_back
        self._hub = Hub()
        self.fault: BaseException | None = None  # why it cannot listen at the moment
        self._pubsub: Any = None
        self._lost = False
        self._confirmed: dict[str, asyncio.Event] = {}
        self._heard: dict[UploadId, float] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Begin to listen; returns when Redis has confirmed it, or after a short wait."""
        self._confirmed[YIELD_CHANNEL] = asyncio.Event()
        self._tasks = [asyncio.create_task(self._listen_for_ever()), asyncio.create_task(self._look_for_ever())]
        await self._wait_for(YIELD_CHANNEL)

    async def ask_to_yield(self, id: UploadId) -> None:
        """Ask the holder of the lease on an upload to give it up; a failure is only logged."""
        try:
            await self._calls.end(self._client.publish(YIELD_CHANNEL, id), within=TAKEN_WITHIN)
        except (*FAULTS, Unreachable) as error:
            self._reports.failed(error)

    async def tell(self, progress: Progress) -> bool:
        """Send a message that is in no record; returns whether somebody may listen, and False if it failed.

        A cluster says only who listens at one of its masters, so there somebody may always listen.
        """
        try:
            publishing = self._client.publish(*message(progress))
            listening = await self._calls.end(publishing, within=TAKEN_WITHIN)
        except (*FAULTS, Unreachable) as error:
            self._reports.failed(error)
            return False
        return listening > 0 or isinstance(self._client, RedisCluster)

    @asynccontextmanager
    async def subscribe(self, id: UploadId) -> AsyncIterator[AsyncIterator[Progress]]:
        """Follow an upload; entered when Redis has confirmed the subscription, or after a short wait."""
        channel = PROGRESS_PREFIX + id
        with self._hub.mailbox(id) as mailbox:
            try:
                if channel not in self._confirmed:
                    self._confirmed[channel] = asyncio.Event()
                    await self._command("subscribe", channel)
                await self._wait_for(channel)
                yield mailbox
            finally:
                if self._hub.count(id) == 1:
                    del self._confirmed[channel]
                    await self._command("unsubscribe", channel)

    async def close(self) -> None:
        """Stop listening, give up all calls, and close the connections."""
        for task in self._tasks:
            task.cancel()
        self._calls.give_up()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _wait_for(self, channel: str) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CONFIRMED_WITHIN):
                await self._confirmed[channel].wait()

    async def _command(self, name: str, channel: str) -> None:
        """Change the subscriptions; if that fails, the listener reconnects with the right ones."""
        if self._pubsub is not None:
            try:
                await self._calls.end(getattr(self._pubsub, name)(channel))
            except (*LOST, Unreachable):
                self._lost = True

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except LOST as error:
                self.fault = error
                self._reports.failed(error)
            except StorageError as error:
                if not error.reported:
                    log.warning("the record of a watched upload could not be read: %s", error)
            except Exception:
                log.exception("listening to Redis failed, and is tried again")
            await asyncio.sleep(BACK_OFF)

    async def _listen(self) -> None:
        for event in self._confirmed.values():
            event.clear()
        await self._calls.end(self._client.initialize())  # a cluster client cannot subscribe before it knows the nodes
        self._pubsub, self._lost = self._client.pubsub(), False
        try:
            await self._calls.end(self._pubsub.subscribe(*self._confirmed))
            self._reports.succeeded()
            while not self._lost:
                message = await self._calls.end(self._pubsub.get_message(timeout=LISTEN))
                if message is None:
                    continue
                channel = message["channel"].decode()
                if message["type"] == "subscribe" and channel in self._confirmed:
                    self._confirmed[channel].set()
                    self.fault = None
                    if channel.startswith(PROGRESS_PREFIX):  # also if the library has reconnected by itself
                        await self._catch_up(UploadId(channel.removeprefix(PROGRESS_PREFIX)))
                elif message["type"] == "message":
                    self._deliver(channel, message["data"])
        finally:
            pubsub, self._pubsub = self._pubsub, None
            with suppress(*LOST):
                await pubsub.aclose()

    async def _look_for_ever(self) -> None:
        """Read the record of each watched upload that was silent for a while."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK)
            now = loop.time()
            silent = [id_ for id_ in self._hub.ids() if now - self._heard.get(id_, 0.0) >= LOOK]
            for first in range(0, len(silent), AT_ONCE):
                await self._look_at(silent[first : first + AT_ONCE])
            self._heard = {id_: heard for id_, heard in self._heard.items() if self._hub.count(id_)}

    async def _look_at(self, ids: list[UploadId]) -> None:
        results = await asyncio.gather(*(self._catch_up(id_) for id_ in ids), return_exceptions=True)
        for fault in results:
            if fault is not None and not isinstance(fault, StorageError):
                log.error("the record of a watched upload could not be read", exc_info=fault)

    async def _catch_up(self, id: UploadId) -> None:
        if snapshot := await self._on_back(id):
            self._hub.deliver(snapshot)

    def _deliver(self, channel: str, data: bytes) -> None:
        if channel == YIELD_CHANNEL:
            self._on_yield(UploadId(data.decode("ascii", "replace")))
            return
        try:
            progress = _decoder.decode(data)
        except msgspec.MsgspecError as error:  # from another version of the server, or from another program
            log.warning("a message from Redis can't be read: %s", error)
            return
        self._heard[progress.id] = asyncio.get_running_loop().time()
        self._hub.deliver(progress)
