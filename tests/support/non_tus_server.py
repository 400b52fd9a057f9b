"""A server that does not speak tus: it has one reply for each method, or none."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from listening import close_listener

HEADERS_END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


class OddServer:
    """It answers with the words of `answers` for the method, and keeps silent where there are none.

    The words are a status line and headers, or all of an answer with its body.
    """

    def __init__(self, answers: Mapping[str, str]) -> None:
        self._answers = answers
        self.asked: list[str] = []
        self.url = ""
        self._serving: dict[asyncio.StreamWriter, asyncio.Task[object] | None] = {}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving[writer] = asyncio.current_task()
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(HEADERS_END):
                length = LENGTH.search(head)
                await reader.readexactly(int(length[1]) if length else 0)
                method = head.split(b" ", 1)[0].decode()
                self.asked.append(method)
                if method in self._answers:
                    answer = self._answers[method]
                    end = "" if "\r\n\r\n" in answer else "\r\nContent-Length: 0\r\n\r\n"
                    writer.write(f"HTTP/1.1 {answer}{end}".encode())
        writer.close()

    async def _end(self) -> None:
        for writer in self._serving:
            writer.transport.abort()
        await asyncio.wait([task for task in self._serving.values() if task])


@asynccontextmanager
async def odd_server(answers: Mapping[str, str]) -> AsyncIterator[OddServer]:
    """Run one on a free port."""
    odd = OddServer(answers)
    server = await asyncio.start_server(odd._serve, "127.0.0.1", 0)
    odd.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/files"
    try:
        yield odd
    finally:
        await close_listener(server)
        await odd._end()
