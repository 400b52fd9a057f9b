"""A large plain body read from the socket itself, by a thread, into buffers that it uses again and again.

aiohttp copies a body into new bytes for each read, takes every one of them through the event loop, and its parser looks
at all; nothing needs that here.
"""

import asyncio
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle

from onward.server.uploads.body_writer import BodyWriter

BUFFER, BUFFERS = 2**20, 3  # bytes, and how many each thread has: what is not hashed yet lies in the others
FIRST = 2**16  # bytes of the first block, so that hashing begins soon; each further one has twice as many
QUICK = 2**16  # bytes after which a sender is quick enough for a thread to wait for it
PATIENCE = 0.01  # seconds that it waits in all, before others have their turn


class _Buffers(threading.local):
    """Those of each thread."""

    def __init__(self) -> None:
        self.ring = [memoryview(bytearray(BUFFER)) for _ in range(BUFFERS)]


_buffers = _Buffers()


class SocketReader:
    """The `rest` of a body, read from the socket; raises OSError where that can't be had."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._fd = os.dup(transport.get_extra_info("socket").fileno())  # the event loop waits for no other's
        self._transport, self._before, self.rest = transport, b"", 0
        self.lost = False
        self._patience = 0.0
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def begin(self, before: bytes, rest: int) -> None:
        """Read the next `rest` bytes here, after those that were read before."""
        self._transport.pause_reading()
        self._before, self.rest = before, rest

    @property
    def silent(self) -> bool:
        """Tell whether nothing is there to read."""
        return not self._before and not self._poll.poll(0)

    def draw(self, body_writer: BodyWriter, most: int, seconds: float, enough: Callable[[], bool]) -> None:
        """Let about `most` bytes in, in a thread, and a block at least: until a time has gone by, or nothing comes."""
        end, until = body_writer.position + most, time.monotonic() + seconds
        buffers, size = cycle(_buffers.ring), min(FIRST, BUFFER)
        self._patience = PATIENCE
        try:
            while block := self._fill(next(buffers)[:size]):
                body_writer.take(block)
                if len(block) < size or body_writer.position >= end or time.monotonic() >= until or enough():
                    return
                size = min(2 * size, BUFFER)
                body_writer.wait(BUFFERS - 1)
        finally:
            body_writer.wait()

    def _fill(self, buffer: memoryview) -> memoryview:
        """Read until a buffer is full or nothing comes, and give what came."""
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
            except OSError:  # reset, or given up on by the kernel
                arrived = 0
            if not arrived:
                self.lost = True
                break
            count, self.rest = count + arrived, self.rest - arrived
        return buffer[:count]

    def _more(self) -> bool:
        """Wait for more, as long as there is patience; who drips would use it up, and keep the thread from others."""
        began = time.monotonic()
        came = self._patience > 0 and bool(self._poll.poll(self._patience * 1e3))
        self._patience -= time.monotonic() - began
        return came

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
        """Give the socket back."""
        os.close(self._fd)
        with suppress(RuntimeError):  # the connection is closed already
            self._transport.resume_reading()
