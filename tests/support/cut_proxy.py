"""A bad line: a TCP proxy that cuts connections, goes silent, and holds the rate down.

It counts what passed from the clients, so that a test can tell whether they sent only the rest.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

CHUNK = 16384


class CutProxy:
    """A proxy to a port of this machine; `cuts` are bytes from a client after which its connection is reset."""

    def __init__(self, target: int, *, cuts: Sequence[int] = (), rate: float | None = None) -> None:
        self.target = target
        self.port = 0
        self.sent = 0
        self.cuts_done = 0
        self._cuts = list(cuts)
        self._rate = rate
        self._talking = asyncio.Event()
        self._talking.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    def go_silent(self) -> None:
        """Forward nothing any more, on any connection, without a word to either side."""
        self._talking.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        try:
            up, down = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _reset(writer)
            self._tasks.discard(task)
            return
        self._writers.append(down)
        back = asyncio.create_task(self._answers(up, writer))
        try:
            await self._forward(reader, down)
        except (OSError, asyncio.CancelledError):
            _reset(writer)
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            down.close()
            writer.close()
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, down: asyncio.StreamWriter) -> None:
        passed = 0
        while data := await reader.read(CHUNK):
            await self._talking.wait()
            down.write(data)
            await down.drain()
            passed += len(data)
            self.sent += len(data)
            if self._cuts and passed >= self._cuts[0]:
                self._cuts.pop(0)
                self.cuts_done += 1
                raise ConnectionResetError
            if self._rate:
                await asyncio.sleep(len(data) / self._rate)

    async def _answers(self, up: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await up.read(CHUNK):
                await self._talking.wait()
                writer.write(data)
                await writer.drain()
        _reset(writer)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["CutProxy"]:
        """Listen on a free port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in self._writers:  # those too that still had something to flush
                writer.transport.abort()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
