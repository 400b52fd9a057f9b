"""One who watches: what waits to be told, at most the newest message of each upload, and whether it still reads."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable

from aiohttp.abc import AbstractStreamWriter

from onward.protocol.model import UploadId
from onward.protocol.progress import Progress
from onward.server.http.transport.tcp import reset, set_option

SEND_WAIT = 10.0  # seconds that a watcher may take to accept one message
HEARTBEAT = 20.0  # seconds of silence until something is sent, so that a dead connection is noticed
DEAD_AFTER = 30.0  # seconds that its machine may take to acknowledge what was sent
CLOSE_AFTER = 0.1  # seconds between the final message and the close, which costs more: first everybody is told
BUFFER = 16384  # bytes that the system keeps for a slow watcher
NOTHING = -1  # below every `seq`


class Subscriber:
    """Who watches; `told` holds the newest `seq` of each upload that it was given, NOTHING for none."""

    __slots__ = (
        "_due", "_ended", "_filled", "_frame", "_open", "_since", "_spoken", "_transport", "_waiting", "_writer",
        "address", "told",
    )  # fmt: skip

    def __init__(self, transport: asyncio.Transport, address: str, ids: Iterable[UploadId]) -> None:
        self.address, self.told = address, dict.fromkeys(ids, NOTHING)
        self._transport = transport
        self._ended = self._due = False
        self._since: float | None = None  # the loop's time since when it has not accepted something
        self._spoken = asyncio.get_running_loop().time()
        self._open = set(self.told)
        self._writer: AbstractStreamWriter | None = None
        self._frame: Callable[[str], bytes] | None = None
        self._waiting: dict[UploadId, Progress] = {}
        self._filled: asyncio.Future[None] | None = None

    @property
    def over(self) -> bool:
        """Tell whether it was given the final message of every upload."""
        return not self._open and not self._waiting

    @property
    def done(self) -> bool:
        """Tell whether it is to be given nothing more."""
        return self._ended or self.over

    def greet(self, state: Progress, known: int) -> None:
        """Give the state on joining, or what came meanwhile, unless it is the one that the watcher says it has.

        Any other that it names, a later one too, is no reason to keep something from it.
        """
        waiting = self._waiting.get(state.id)
        if known == max(state.seq, waiting.seq if waiting else NOTHING):
            self.told[state.id] = known
            self._waiting.pop(state.id, None)
        self.put(state)

    def put(self, message: Progress) -> None:
        """Send a message at once, or keep it in place of an older one of its upload; never blocks."""
        waiting = self._waiting.get(message.id)
        if message.seq > (waiting.seq if waiting else self.told[message.id]):
            if self._frame is not None and self._since is None and not (self._waiting or message.final or self._ended):
                self.told[message.id] = message.seq
                self._write(self._frame(message.json))
                return
            self._waiting[message.id] = message
        if message.final:
            self._open.discard(message.id)
        self._wake()

    def end(self) -> None:
        """Give it nothing more."""
        self._ended = True
        self._wake()

    def begin(self, writer: AbstractStreamWriter, frame: Callable[[str], bytes] | None = None) -> None:
        """Keep little for it from now on, so that newer messages replace what it doesn't read.

        `frame` gives what to write for a message; without, all is to be sent by whoever waits for it here.
        """
        self._writer, self._frame = writer, frame
        self._transport.set_write_buffer_limits(high=0)
        set_option(self._transport, socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        set_option(self._transport, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(DEAD_AFTER * 1000))

    async def next(self) -> Progress | None:
        """Wait for the next message to send; None when it is done, or when it is time to break a long silence."""
        await self._accepted()
        while not self._waiting and not self.done and not self._due:
            self._filled = asyncio.get_running_loop().create_future()
            await self._filled
            await self._accepted()
        self._due = False
        if self._ended or not self._waiting:
            return None
        message = self._waiting.pop(next(iter(self._waiting)))
        self.told[message.id] = message.seq
        return message

    async def accept(self, sending: Awaitable[None]) -> None:
        """Wait until something is sent, and nothing of it is left here."""
        self._since = self._spoken = asyncio.get_running_loop().time()
        await sending
        await self._accepted()

    async def _accepted(self) -> None:
        if self._since is not None and self._writer is not None:
            await self._writer.drain()
            self._since = None

    def _write(self, data: bytes) -> None:
        self._spoken = asyncio.get_running_loop().time()
        self._transport.write(data)
        if self._transport.get_write_buffer_size():
            self._since = self._spoken
            self._wake()

    def check(self, now: float) -> None:
        """Let it go if it has left, or has not read for too long; see that it is told something now and then."""
        if self._since is not None and now - self._since > SEND_WAIT:
            reset(self._transport)
        if self._transport.is_closing():
            self.end()
        elif now - self._spoken > HEARTBEAT:
            self._due = True
            self._wake()

    def leave(self) -> None:
        """Keep nothing that it has not read."""
        if self._transport.get_write_buffer_size():
            reset(self._transport)

    def _wake(self) -> None:
        if self._filled is not None and not self._filled.done():
            self._filled.set_result(None)
