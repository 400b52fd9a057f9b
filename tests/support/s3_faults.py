"""A proxy before an S3 server that answers with errors, is slow, stalls, cuts, and loses answers."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from s3_process import S3Process
from yarl import URL

HOP = ("Connection", "Transfer-Encoding", "Keep-Alive")
SLOW = 0.5  # seconds
Choose = Callable[[str], str]  # from the name of an operation to the name of a fault, or nothing


def operation(request: web.Request) -> str:
    """Name what a request asks of S3."""
    query = request.query
    if request.method == "PUT" and "partNumber" in query:
        return "copy" if "x-amz-copy-source" in request.headers else "part"
    if request.method == "POST":
        return "create" if "uploads" in query else "delete" if "delete" in query else "complete"
    if request.method == "GET" and ("list-type" in query or "uploads" in query or "uploadId" in query):
        return "list"
    return request.method.lower()


def passing(dice: random.Random, share: float) -> Choose:
    """Give faults that pass: each request has one with a probability."""
    kinds = ("500", "503", "lost", "cut", "slow")
    return lambda _operation: dice.choice(kinds) if dice.random() < share else ""


class S3Faults:
    """The proxy; `choose` says what happens to each request."""

    def __init__(self, server: S3Process) -> None:
        self.server = server
        self.choose: Choose = lambda _operation: ""
        self.seen: Counter[str] = Counter()
        self.done: Counter[tuple[str, str]] = Counter()
        self.port = 0
        self._target = URL(server.endpoint)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        what = operation(request)
        self.seen[what] += 1
        fault = self.choose(what)
        self.done[fault, what] += bool(fault)
        if fault == "slow":
            await asyncio.sleep(SLOW)
        elif fault == "stall":
            await asyncio.sleep(600)
        elif fault == "cut":
            await request.content.readany()
            return self._reset(request)
        elif fault and fault != "lost":
            status, _, code = fault.partition(" ")
            await request.read()
            codes = {"500": "InternalError", "503": "SlowDown"}
            text = f"<Error><Code>{code or codes[status]}</Code><Message>told to</Message></Error>"
            return web.Response(status=int(status), text=text, content_type="application/xml")
        answer = await self._forward(request)
        return self._reset(request) if fault == "lost" else answer

    @staticmethod
    def _reset(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _forward(self, request: web.Request) -> web.Response:
        headers = CIMultiDict(request.headers)
        for name in HOP:
            headers.pop(name, None)
        url = self._target.join(URL(request.raw_path, encoded=True))
        data = request.content if request.can_read_body else None
        skipped = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
        async with self._http.request(
            request.method, url, headers=headers, data=data, skip_auto_headers=skipped
        ) as answer:
            body = await answer.read()
            told = CIMultiDict(answer.headers)
            for name in HOP:
                told.pop(name, None)
            return web.Response(status=answer.status, headers=told, body=body)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listen on a free port."""
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(app, handler_cancellation=True, auto_decompress=False, shutdown_timeout=0.1)
        async with aiohttp.ClientSession(auto_decompress=False) as self._http:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            try:
                yield self
            finally:
                await runner.cleanup()
