"""A TCP proxy that simulates a bad connection: it cuts, stalls, delays, and limits the rate.

It counts what it took from the clients, so that a test can tell whether they sent only the rest. What it holds at a
cut is lost on both sides.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import Self

from listening import close_listener

CHUNK = 16384
ROOM = 65536  # bytes that wait in a socket


class Fault(Enum):
    """What ends a connection."""

    CUT = "cut"
    STALL = "stall"


class RoughLine:
    """A proxy to a port of this machine; each fault befalls one connection, after as many bytes from the client.

    `rate` are the bytes a second that come through from one client, `delay` the seconds that each chunk takes in
    either direction. One that `passes_answers` hands on all that the other side says, and its end alone, and swallows
    what the client still sends, as proxies do; otherwise the end of one side resets both.
    """

    def __init__(
        self, target: int, faults: Sequence[tuple[int, Fault]] = (), *, rate: float = 0.0, delay: float = 0.0,
        passes_answers: bool = False,
    ) -> None:  # fmt: skip
        self.port = self.taken = self.ended = 0  # bytes, and connections that the other side has ended
        self.delay = delay
        self.done: list[Fault] = []
        self._target, self._faults, self._rate = target, list(faults), rate
        self._passes_answers = passes_answers
        self._open = True
        self._talking = asyncio.Event()
        self._talking.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Give the URL of the uploads behind it."""
        return f"http://127.0.0.1:{self.port}/files"

    @property
    def connections(self) -> int:
        """Give how many lead to the other side."""
        return len(self._ends) // 2

    def cut(self) -> None:
        """Reset every connection, and take none until it is mended."""
        self._open = False
        _reset(self._ends)

    def stall(self) -> None:
        """Forward nothing, without a word to either side."""
        self._talking.clear()

    def mend(self) -> None:
        """Be a good line again."""
        self._open, self.delay = True, 0.0
        self._talking.set()

    def hurry(self) -> None:
        """Let all through as fast as it comes, from now on."""
        self._rate = 0.0

    def switch(self, target: int) -> None:
        """Reset every connection, and lead new ones elsewhere."""
        self._target = target
        _reset(self._ends)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends = {writer}
        try:
            if not self._open:
                return
            up, down = await asyncio.open_connection("127.0.0.1", self._target)
            ends.add(down)
            self._ends |= ends
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._forward(reader, down, writer))
                ways.create_task(self._back(up, writer))
        except* (OSError, asyncio.CancelledError):  # nobody waits for this task
            pass
        finally:
            _reset(ends)
            self._ends -= ends
            self._tasks.discard(task)

    async def _forward(
        self, reader: asyncio.StreamReader, down: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        """Hand on what a client sends, and its end, which the other side answers with its own."""
        passed = 0
        while data := await reader.read(CHUNK):
            passed += len(data)
            self.taken += len(data)
            if self._faults and passed >= self._faults[0][0]:
                fault = self._faults.pop(0)[1]
                self.done.append(fault)
                if fault is Fault.CUT:
                    raise ConnectionResetError
                client.transport.pause_reading()  # type: ignore[attr-defined]
                await asyncio.Event().wait()
            if self._passes_answers and down.transport.is_closing():
                continue
            try:
                await self._hand_on(data, down)
            except OSError:
                if not self._passes_answers:
                    raise
            if self._rate:
                await asyncio.sleep(len(data) / self._rate)
        await self._talking.wait()
        down.write_eof()

    async def _back(self, up: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Hand on the answers; where the other side ends, so does all."""
        while data := await up.read(CHUNK):
            await self._hand_on(data, client)
        self.ended += 1
        if not self._passes_answers:
            raise ConnectionResetError
        await self._talking.wait()
        client.write_eof()

    async def _hand_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        await self._talking.wait()
        if self.delay:
            await asyncio.sleep(self.delay)
        writer.write(data)
        await writer.drain()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listen on a free port."""
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        server = await asyncio.start_server(self._serve, sock=sock, limit=CHUNK)
        self.port = sock.getsockname()[1]
        try:
            yield self
        finally:
            await close_listener(server)
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _reset(ends: set[asyncio.StreamWriter]) -> None:
    for writer in ends:
        with suppress(OSError):
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
