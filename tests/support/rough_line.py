"""A line as bad as they come: a TCP proxy with little room that delays, cuts some connections and stalls others.

It counts what it took from the clients. What it holds at a cut is lost on both sides.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum

CHUNK = 16384
ROOM = 65536  # bytes that wait in a socket


class Fault(Enum):
    """What ends a connection."""

    CUT = "cut"
    STALL = "stall"


class RoughLine:
    """A proxy to a port of this machine; each fault befalls one connection, after as many bytes from the client."""

    def __init__(self, target: int, faults: Sequence[tuple[int, Fault]] = (), *, delay: float = 0.0) -> None:
        self.target = target
        self.port = 0
        self.taken = 0
        self.done: list[Fault] = []
        self._faults = list(faults)
        self._delay = delay
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Give the URL of the uploads behind it."""
        return f"http://127.0.0.1:{self.port}/files"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [writer]
        try:
            up, down = await asyncio.open_connection("127.0.0.1", self.target)
            writers.append(down)
            forward, back = self._forward(reader, down, writers), self._back(up, writer)
            await asyncio.gather(forward, back)
        except (OSError, asyncio.CancelledError):  # nobody waits for this task
            pass
        finally:
            _reset(writers)
            self._tasks.discard(task)

    async def _forward(
        self, reader: asyncio.StreamReader, down: asyncio.StreamWriter, writers: list[asyncio.StreamWriter]
    ) -> None:
        passed = 0
        while data := await reader.read(CHUNK):
            passed += len(data)
            self.taken += len(data)
            if self._faults and passed >= self._faults[0][0]:
                fault = self._faults.pop(0)[1]
                self.done.append(fault)
                if fault is Fault.CUT:
                    raise ConnectionResetError
                writers[0].transport.pause_reading()  # type: ignore[attr-defined]
                await asyncio.Event().wait()
            await self._hand_on(data, down)
        raise ConnectionResetError

    async def _back(self, up: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await up.read(CHUNK):
            await self._hand_on(data, writer)
        raise ConnectionResetError

    async def _hand_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self._delay:
            await asyncio.sleep(self._delay)
        writer.write(data)
        await writer.drain()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["RoughLine"]:
        """Listen on a free port."""
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        server = await asyncio.start_server(self._serve, sock=sock, limit=CHUNK)
        self.port = sock.getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _reset(writers: Sequence[asyncio.StreamWriter]) -> None:
    for writer in writers:
        with suppress(OSError):
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
