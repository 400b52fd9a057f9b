"""A TCP proxy between a server and its Redis that a test cuts, stalls, slows down, or leads elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK = 65536


class ChaosProxy:
    """A proxy to a port of this machine; `delay` are seconds that each chunk takes in either direction."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.delay = 0.0
        self._open = True
        self._talking = asyncio.Event()
        self._talking.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Give the URL of the Redis behind it."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def lines(self) -> int:
        """Give how many connections lead to the other side."""
        return len(self._writers) // 2

    def cut(self) -> None:
        """Reset every connection, and take none until it is mended."""
        self._open = False
        self._abort()

    def stall(self) -> None:
        """Forward nothing, without a word to either side."""
        self._talking.clear()

    def mend(self) -> None:
        """Be a good line again."""
        self._open, self.delay = True, 0.0
        self._talking.set()

    def switch(self, target: int) -> None:
        """Reset every connection, and lead new ones elsewhere."""
        self.target = target
        self._abort()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = {writer}
        try:
            if not self._open:
                return
            up, down = await asyncio.open_connection("127.0.0.1", self.target)
            writers.add(down)
            self._writers |= writers
            await asyncio.gather(self._forward(reader, down), self._forward(up, writer))
        except OSError:
            pass
        finally:
            for each in writers:
                each.transport.abort()
            self._writers -= writers
            self._tasks.discard(task)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Forward until either side ends; then both do."""
        while data := await source.read(CHUNK):
            await self._talking.wait()
            if self.delay:
                await asyncio.sleep(self.delay)
            sink.write(data)
            await sink.drain()
        raise ConnectionResetError

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ChaosProxy"]:
        """Listen on a free port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self._abort()
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks, return_exceptions=True)
