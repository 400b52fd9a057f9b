"""Reads a large plain body from the socket itself, in a thread, into buffers that are used again and again.

aiohttp would allocate new bytes for each read, pass them through the event loop, and let its parser look at each one. A
plain body of known length needs none of that; this is the server's largest gain in speed. `body.py` uses it.

    socket ──readv──▶ buffer 1 ──┬─▶ disk          (this thread)
                      buffer 2   └─▶ SHA-256       (a hashing thread, behind this one by at most BUFFERS - 1 buffers)
                      buffer 3

The buffers are given back once they are hashed: before the thread serves another body, or later if the hash may lag
behind (server/uploads/kept_hashes.py).
"""

import asyncio
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from onward.server.uploads.body_writer import BodyWriter

BUFFER, BUFFERS = 2**20, 3  # bytes, and buffers of each thread: one is read into while two may still be hashed
FIRST = 2**16  # bytes of the first block if its hash is waited for; each further one has twice as many
LEAST = 2**16  # bytes; if a buffer has less room left, the next block goes to the next buffer
QUICK = 2**16  # bytes; a thread waits for more only if a block has at least so many, since the sender is fast then
PATIENCE = 0.01  # seconds that a thread waits for one body in all, before it serves another one


class _Buffers:
    """BUFFERS buffers, which one thread at a time reads into."""

    def __init__(self) -> None:
        self.ring = deque(memoryview(bytearray(BUFFER)) for _ in range(BUFFERS))


class _Own(threading.local):
    """The buffers that a thread used last, which its processor core may still have in its cache."""

    buffers: _Buffers | None = None


_own, _free = _Own(), deque[_Buffers]()


def _take_buffers() -> _Buffers:
    """Return free buffers; no more are allocated than threads and lagging hashes (body_writer.py) use at once."""
    buffers, _own.buffers = _own.buffers, None
    if buffers is not None:
        return buffers
    try:
        return _free.pop()
    except IndexError:
        return _Buffers()


def _give_back(buffers: _Buffers, thread: int) -> None:
    """Let buffers be used again, by the thread that had them if it gives them back itself."""
    if threading.get_ident() == thread and _own.buffers is None:
        _own.buffers = buffers
    else:
        _free.append(buffers)


class SocketReader:
    """Reads the `rest` of a body from the socket.

    Raises OSError if no file descriptor is left, or if the connection is closed. `lost` says that the connection ended
    while it was being read.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._fd = os.dup(
            transport.get_extra_info("socket").fileno()
        )  # the event loop can watch a descriptor once only
        self._transport, self._before, self.rest = transport, b"", 0
        self.lost = False
        self._patience = 0.0
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def begin(self, before: bytes, rest: int) -> None:
        """Start to read: first the bytes `before`, which aiohttp has read, then `rest` bytes from the socket."""
        self._transport.pause_reading()
        self._before, self.rest = before, rest

    @property
    def silent(self) -> bool:
        """Return whether there is nothing to read at the moment."""
        return not self._before and not self._poll.poll(0)

    def draw(self, body_writer: BodyWriter, at_most: int, seconds: float, enough: Callable[[], bool]) -> None:
        """Move about `at_most` bytes into the writer, at least one block; runs in a thread.

        Returns earlier if nothing more arrives, after so many `seconds`, when `enough()` is true, or when the writer is
        full. Raises what the writer raises.
        """
        buffers, ended = _take_buffers(), False
        try:
            self._move(body_writer, at_most, time.monotonic() + seconds, enough, buffers.ring)
            ended = not self.rest
        finally:  # after a fault, it has to be certain that no thread works on the hash any more
            body_writer.leave(partial(_give_back, buffers, threading.get_ident()), ended=ended)
        if ended:
            body_writer.end()

    def _move(
        self,
        body_writer: BodyWriter,
        at_most: int,
        until: float,
        enough: Callable[[], bool],
        ring: deque[memoryview],
    ) -> None:
        end, taken = body_writer.position + at_most, 0
        used = deque([0] * BUFFERS)  # how many blocks were taken when each buffer was left
        room, size = ring[0], BUFFER if body_writer.lags(len(self._before) + self.rest) else min(FIRST, BUFFER)
        self._patience = PATIENCE
        while block := self._fill(room[:size]):
            body_writer.take(block)
            if len(block) < size or body_writer.position >= end or time.monotonic() >= until or enough():
                return
            if body_writer.full:
                return
            taken, room = taken + 1, room[size:]
            if len(room) < LEAST:
                ring.rotate(-1)
                used.append(taken)
                used.popleft()
                body_writer.wait(taken - used[0])
                room = ring[0]
            size = min(2 * size, len(room))

    def _fill(self, buffer: memoryview) -> memoryview:
        """Read until a buffer is full or nothing more arrives, and return the filled part."""
        size = len(buffer)
        count = min(len(self._before), size)
        buffer[:count], self._before = self._before[:count], self._before[count:]
        while count < size and self.rest:
            try:
                arrived = os.readv(self._fd, [buffer[count : count + self.rest]])
            except BlockingIOError:
                if count < QUICK or not self._more():
                    break
                continue
            except OSError:  # reset by the client, or timed out by the kernel
                arrived = 0
            if not arrived:
                self.lost = True
                break
            count, self.rest = count + arrived, self.rest - arrived
        return buffer[:count]

    def _more(self) -> bool:
        """Wait for more bytes, and return whether there are any; a slow sender must not keep the thread from others."""
        began = time.monotonic()
        arrived = self._patience > 0 and bool(self._poll.poll(self._patience * 1e3))
        self._patience -= time.monotonic() - began
        return arrived

    async def readable(self) -> None:
        """Wait until something has arrived."""
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._fd, self._arrived, ready)
        try:
            await ready
        finally:
            loop.remove_reader(self._fd)

    @staticmethod
    def _arrived(ready: asyncio.Future[None]) -> None:
        if not ready.done():
            ready.set_result(None)

    def close(self) -> None:
        """Close the extra descriptor, and let aiohttp read the connection again."""
        os.close(self._fd)
        with suppress(RuntimeError):  # the connection is closed already
            self._transport.resume_reading()
