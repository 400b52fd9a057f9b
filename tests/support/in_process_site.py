"""A server in the process of the test, which is asked byte by byte, and which tells what it did on the fast paths."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from onward import Config, create_app, create_runner
from onward.server.http.completed_steps import CompletedSteps
from onward.server.http.fast_bodies import FastBodies, Work
from onward.server.http.fast_heads import FastHeads
from onward.server.http.fast_path import PlainRequest
from onward.server.http.transport.connection import Connection
from onward.server.http.transport.connection_limits import FastPaths
from onward.server.http.transport.server import Server

WITHIN = 10.0
ID = "request-1"
TUS = "Tus-Resumable: 1.0.0\r\n"
OCTETS = "Content-Type: application/offset+octet-stream\r\n"


async def until(met: Callable[[], bool]) -> None:
    """Wait until a condition is met."""
    for _ in range(int(WITHIN / 0.01)):
        if met():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


class Site:
    """A server in this process, and what of it is looked at."""

    def __init__(self, runner: web.AppRunner, prefix: str) -> None:
        assert isinstance(runner.server, Server)
        self._runner = runner
        self.app, self.limits, self.prefix = runner.app, runner.server.limits, prefix
        self.address: Any = runner.addresses[0]
        assert self.limits.fast is not None
        self.fast: FastPaths = self.limits.fast
        self.heads: FastHeads = self.fast.heads
        self.bodies: FastBodies = self.fast.bodies
        self.at_once = self.stored = 0  # HEADs that were answered at once; bodies that were stored on the fast path
        answer, answer_later = self.heads.answer, self.heads.answer_later

        def counted(message: Any, remote: str) -> bytes | PlainRequest | None:
            given = answer(message, remote)
            self.at_once += isinstance(given, bytes)
            return given

        async def counted_later(asked: PlainRequest) -> bytes | CompletedSteps | None:
            given = await answer_later(asked)
            self.at_once += isinstance(given, bytes)
            return given

        do = self.bodies.do

        async def counted_do(work: Work, data: bytes) -> bytes | CompletedSteps:
            given = await do(work, data)
            self.stored += isinstance(given, bytes)
            return given

        self.heads.answer, self.heads.answer_later = counted, counted_later  # type: ignore[method-assign]
        self.bodies.do = counted_do  # type: ignore[method-assign]

    async def ask(self, *requests: bytes) -> list[bytes]:
        """Send requests on one connection, each after the answer to the one before, and return the answers."""
        reader, writer = await asyncio.open_connection(*self.address)
        answers = []
        async with asyncio.timeout(WITHIN):
            for request in requests:
                writer.write(request)
                answers.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()
        await writer.wait_closed()
        return answers

    async def talk(self, request: bytes) -> bytes:
        """Send a request and close the sending side; return everything that is sent back."""
        reader, writer = await asyncio.open_connection(*self.address)
        async with asyncio.timeout(WITHIN):
            writer.write(request)
            writer.write_eof()
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    def connections(self) -> list[Connection]:
        """Return the connections of the server."""
        assert isinstance(self._runner.server, Server)
        return [each for each in self._runner.server.connections if isinstance(each, Connection)]

    async def stop(self) -> None:
        """Stop the server."""
        await self._runner.cleanup()

    @contextmanager
    def slow_path(self) -> Iterator[None]:
        """Let every request take the slow path."""
        self.limits.fast = None
        yield
        self.limits.fast = self.fast

    async def create(self, headers: str, body: str = "") -> str:
        """Create an upload, and return its path."""
        sized = f"Content-Length: {len(body)}\r\n{OCTETS if body else ''}"
        (answer,) = await self.ask(
            f"POST {self.prefix} HTTP/1.1\r\nHost: a\r\n{TUS}{sized}{headers}\r\n{body}".encode()
        )
        assert b" 201 " in answer, answer
        return self.prefix + answer.split(b"Location: ")[1].split(b"\r\n")[0].decode().rpartition(self.prefix)[2]

    async def patch(self, path: str, offset: int, body: str) -> None:
        """Append to an upload."""
        head = f"PATCH {path} HTTP/1.1\r\nHost: a\r\n{TUS}{OCTETS}Upload-Offset: {offset}\r\n"
        (answer,) = await self.ask(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        assert b" 204 " in answer, answer


@asynccontextmanager
async def served(tmp_path: Path, **options: Any) -> AsyncIterator[Site]:
    """Serve with these options."""
    resting = {"quiet_after": 3600, "sweep_every": 3600}  # the server takes no lease by itself
    config = Config(data=str(tmp_path / "data"), **(resting | options))
    runner = create_runner(create_app(config), config)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield Site(runner, config.prefix)
    finally:
        await runner.cleanup()


def head(path: str, headers: str = TUS, version: str = "1.1") -> bytes:
    return f"HEAD {path} HTTP/{version}\r\nHost: a\r\nX-Request-ID: {ID}\r\n{headers}\r\n".encode()
