"""One watcher: the messages that wait for it, at most the newest of each upload, and whether it still reads.

The usual way is short: `put` writes a message straight to the transport, without a task switch. Only if something waits
(a slow watcher, a final message, one before the reply has begun) does the handler's own task send it, by `next`.
"""

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
CLOSE_AFTER = 0.1  # seconds from the final message to the close; closing costs more, so all get the message first
BUFFER = 16384  # bytes that the system keeps for a slow watcher
NOTHING = -1  # less than every `seq`
NONE_SENT = (NOTHING, NOTHING)


class Subscriber:
    """A watcher; `sent` holds the order of the newest message of each upload that was sent to it, or NONE_SENT."""

    __slots__ = (
        "_due", "_ended", "_filled", "_frame", "_leaving", "_open", "_since", "_spoken", "_transport", "_waiting",
        "_writer", "address", "expired", "sent",
    )  # fmt: skip

    def __init__(self, transport: asyncio.Transport, address: str, ids: Iterable[UploadId]) -> None:
        self.address, self.sent = address, dict.fromkeys(ids, NONE_SENT)
        self._transport = transport
        self._ended = self._due = self.expired = False
        self._leaving: asyncio.TimerHandle | None = None
        self._since: float | None = None  # the loop's time since which a message is not accepted
        self._spoken = asyncio.get_running_loop().time()  # when something was sent last
        self._open = set(self.sent)  # uploads whose final message has not come yet
        self._writer: AbstractStreamWriter | None = None
        self._frame: Callable[[str], bytes] | None = None
        self._waiting: dict[UploadId, Progress] = {}
        self._filled: asyncio.Future[None] | None = None

    @property
    def over(self) -> bool:
        """Return whether the final message of every upload was sent."""
        return not self._open and not self._waiting

    @property
    def done(self) -> bool:
        """Return whether nothing more is to be sent."""
        return self._ended or self.over

    def greet(self, state: Progress, known: int) -> None:
        """Send the state at the beginning, unless `known` says that the watcher has the newest one already.

        Any other value of `known`, a later one too, is ignored: it comes from the client, and may be anything.
        """
        waiting = self._waiting.get(state.id)
        if known == max(state.seq, waiting.seq if waiting else NOTHING):
            self.sent[state.id] = max(state.order, waiting.order if waiting else NONE_SENT)
            self._waiting.pop(state.id, None)
        self.put(state)

    def put(self, message: Progress) -> None:
        """Send a message at once, or keep it in place of an older one of its upload; never blocks.

        Nothing of an upload is sent after its final message: a later record only notes that its bytes are removed.
        """
        if message.id not in self._open:
            return
        waiting = self._waiting.get(message.id)
        if message.order > (waiting.order if waiting else self.sent[message.id]):
            if self._frame is not None and self._since is None and not (self._waiting or message.final or self._ended):
                self.sent[message.id] = message.order
                self._write(self._frame(message.json))
                return
            self._waiting[message.id] = message
        if message.final:
            self._open.discard(message.id)
        self._wake()

    def end(self) -> None:
        """Send nothing more; the handler closes the connection."""
        self._ended = True
        self._wake()

    def leave_after(self, seconds: float | None) -> None:
        """End after so many seconds, because what allows the watcher to watch expires then; None for never."""
        if seconds is not None:
            self._leaving = asyncio.get_running_loop().call_later(seconds, self._expire)

    def _expire(self) -> None:
        self.expired = True
        self.end()

    def begin(self, writer: AbstractStreamWriter, frame: Callable[[str], bytes] | None = None) -> None:
        """Begin to send, with small buffers, so that newer messages replace those that the watcher does not read.

        `frame` returns the bytes of a message for a direct write; without it, the handler sends all messages.
        """
        self._writer, self._frame = writer, frame
        self._transport.set_write_buffer_limits(high=0)
        set_option(self._transport, socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        set_option(self._transport, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(DEAD_AFTER * 1000))

    async def next(self) -> Progress | None:
        """Wait for the next message to send; returns None if nothing more is to be sent, or if a heartbeat is due."""
        await self._accepted()
        while not self._waiting and not self.done and not self._due:
            self._filled = asyncio.get_running_loop().create_future()
            await self._filled
            await self._accepted()
        self._due = False
        if self._ended or not self._waiting:
            return None
        message = self._waiting.pop(next(iter(self._waiting)))
        self.sent[message.id] = message.order
        return message

    async def accept(self, sending: Awaitable[None]) -> None:
        """Wait until something is sent and asyncio's buffer is empty."""
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
        """Disconnect a watcher that has left or does not read; make a heartbeat due after a long silence."""
        if self._since is not None and now - self._since > SEND_WAIT:
            reset(self._transport)
        if self._transport.is_closing():
            self.end()
        elif now - self._spoken > HEARTBEAT:
            self._due = True
            self._wake()

    def leave(self) -> None:
        """Drop what the watcher has not read."""
        if self._leaving is not None:
            self._leaving.cancel()
        if self._transport.get_write_buffer_size():
            reset(self._transport)

    def _wake(self) -> None:
        if self._filled is not None and not self._filled.done():
            self._filled.set_result(None)
