"""An asynchronous HTTP client on a plain connection, for tests whose server may die at any byte."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from http_connection import OCTETS, VERSION, Answer

WATCH = (
    "GET {path}/progress HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
PAUSE = 0.6  # seconds, longer than a stride
PIECE = 2**15  # bytes of a body that are sent at once


class Lost(Exception):
    """The server went away before its answer was whole."""


class Line:
    """One connection, kept from request to request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str | None], body: bytes = b"", *, rest: bytes = b""
    ) -> Answer:
        """Send a request and give its answer, the `rest` of its body after a pause; raises Lost."""
        version = None if method == "PUT" else VERSION  # tus has no PUT
        told = {"Host": "127.0.0.1", "Tus-Resumable": version, "Content-Length": str(len(body + rest)), **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items() if value is not None)
        try:
            # A short body is in one segment with the head, so that the server finds both together.
            self._writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body[:PIECE])
            for at in range(PIECE, len(body), PIECE):
                await self._writer.drain()
                self._writer.write(body[at : at + PIECE])
            await self._writer.drain()
            if rest:
                await asyncio.sleep(PAUSE)
                self._writer.write(rest)
            return await self._answer(method)
        except (OSError, EOFError) as error:
            raise Lost(method) from error

    async def _answer(self, method: str) -> Answer:
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        status = int(first.split()[1])
        size = 0 if method == "HEAD" or status == 204 else int(headers["content-length"])
        return Answer(status, headers, await self._reader.readexactly(size))

    async def watch(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """Follow an upload by WebSocket, until it ends or the server is gone."""
        try:
            self._writer.write(WATCH.format(path=path).encode())
            if b" 101 " not in await self._reader.readuntil(b"\r\n\r\n"):
                return
            while (first := (await self._reader.readexactly(2)))[0] & 15 == 1:
                size = first[1] if first[1] < 126 else int.from_bytes(await self._reader.readexactly(2), "big")
                yield json.loads(await self._reader.readexactly(size))
        except (OSError, EOFError):
            return


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Line]:
    """Open a connection; raises Lost."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    except OSError as error:
        raise Lost("connect") from error
    try:
        yield Line(reader, writer)
    finally:
        writer.transport.abort()


async def resume(port: int, path: str, data: bytes) -> None:
    """Send what is missing of an upload, as a client does that was cut off; raises Lost."""
    async with connected(port) as line:
        state = await line.ask("HEAD", path, {})
        if state.status == 200 and (offset := int(state.headers["upload-offset"])) < len(data):
            await line.ask("PATCH", path, {"Content-Type": OCTETS, "Upload-Offset": str(offset)}, data[offset:])
