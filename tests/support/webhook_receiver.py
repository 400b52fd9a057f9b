"""A receiver of webhooks: a real aiohttp server on loopback that notes each request and answers as a test says."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

SECRET = "whsec_" + "b253YXJkLXRlc3RzLW9ud2FyZC10ZXN0cw=="


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The `webhook-id`."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """The JSON object."""
        event: dict[str, Any] = json.loads(self.body)
        return event

    @property
    def type(self) -> str:
        """The type of the event."""
        return str(self.event["type"])

    @property
    def upload(self) -> str:
        """The id of the upload."""
        return str(self.event["data"]["uploadId"])


Answer = Callable[[Received], Awaitable[web.StreamResponse]]


async def take(_: Received) -> web.StreamResponse:
    """Take an event."""
    return web.Response(status=204)


async def hang(_: Received) -> web.StreamResponse:
    """Give no answer."""
    await asyncio.sleep(3600)
    raise AssertionError


def answer_with(status: int, **headers: str) -> Answer:
    """Answer each request with a status."""

    async def answer(_: Received) -> web.StreamResponse:
        return web.Response(status=status, headers={name.replace("_", "-"): each for name, each in headers.items()})

    return answer


@dataclass(slots=True)
class Receiver:
    """What a receiver got, and how it answers from now on."""

    url: str
    answer: Answer = take
    received: list[Received] = field(default_factory=list)
    taken: list[Received] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note a request and answer it."""
        got = Received({name.lower(): value for name, value in request.headers.items()}, await request.read())
        self.received.append(got)
        self.came.set()
        response = await self.answer(got)
        if 200 <= response.status < 300:
            self.taken.append(got)
        return response

    async def until(self, condition: Callable[[], bool], within: float = 10.0) -> None:
        """Wait until a condition holds, which is asked after each request and now and then."""
        async with asyncio.timeout(within):
            while not condition():
                self.came.clear()
                try:
                    await asyncio.wait_for(self.came.wait(), 0.05)
                except TimeoutError:
                    continue

    def order(self, upload: str) -> list[str]:
        """Give the types of the events of an upload, in the order in which they were taken first."""
        return list(dict.fromkeys(got.type for got in self.taken if got.upload == upload))


@asynccontextmanager
async def receiver(answer: Answer = take) -> AsyncIterator[Receiver]:
    """Run a receiver on a free port."""
    found = Receiver("", answer)
    app = web.Application(handler_args={"access_log": None})
    app.router.add_post("/{path:.*}", found.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield found
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_receiver(answer: bytes) -> AsyncIterator[str]:
    """Run a receiver that answers each request with these bytes, whatever they are; gives its origin."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(line for line in head.lower().splitlines() if line.startswith(b"content-length:"))
        await reader.readexactly(int(size.partition(b":")[2]))
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
