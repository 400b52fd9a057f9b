"""The body of a request, as `server/uploads/receive.py` reads it; `server/http/routes.py` makes one for each request.

A large plain body is read from the socket itself, by a thread (`socket_reader.py`); every other body comes from
aiohttp's stream:

    pour ─┬─ large, of known length, no TLS:  _take ── _draw ─┬─ _let_in ── SocketReader.draw  (in a thread)
          │                                                   └─ _wait, if the socket is empty
          └─ all others:                      pour_blocks ── block ── _next ── aiohttp's stream

A rival, a stall and a lost connection all end a body in the same way: `cut` notes the reason, and moves the time-out of
the current wait to now, which ends that wait. Bytes that have reached this machine before still count, also those that
arrive together with the end of the connection.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import NamedTuple, Protocol, cast

from aiohttp import HttpVersion, HttpVersion11, StreamReader, web
from multidict import MultiMapping

from onward.protocol.dialects import Reply
from onward.protocol.errors import BadRequest, BodyStalled, Refusal, RequestTooLarge, Unavailable
from onward.protocol.model import Upload
from onward.server.http.transport.connection import Connection
from onward.server.http.transport.interim import CONTINUE, send_interim
from onward.server.http.transport.socket_reader import BUFFER, SocketReader
from onward.server.http.transport.support import take_held
from onward.server.uploads.body_writer import BLOCK, BodyWriter
from onward.storage.base import Block

LARGE = 2**17  # bytes; it is faster to read a body of at least this size from the socket itself
PAUSE = 0.1  # seconds that reading is paused until the body begins; a longer pause would hide that the client has left


class Headed(NamedTuple):
    """A request whose large body is received without a request of aiohttp (server/http/fast_bodies.py).

    Its client does not wait for `100 Continue`, and knows no informational replies.
    """

    protocol: Connection
    transport: asyncio.Transport
    content: StreamReader
    content_length: int
    headers: MultiMapping[str]
    version: HttpVersion = HttpVersion11
    body_exists: bool = True


class Blocks(Protocol):
    """A body from which blocks can be collected."""

    @property
    def over(self) -> bool:
        """Return whether no more bytes will come."""

    async def block(self, size: int, until: float) -> Block:
        """Collect about `size` bytes, or fewer if the loop's time `until` or the end of the body comes first."""


async def pour_blocks(body: Blocks, body_writer: BodyWriter, most: int, until: float) -> None:
    """Write about `most` bytes: one block is written while the next one is collected. Raises what `put` raises."""
    loop, sent = asyncio.get_running_loop(), 0
    writing: asyncio.Future[None] | None = None
    try:
        while sent < most and not body.over:
            block = await body.block(min(BLOCK, most - sent), until)
            if writing:
                earlier, writing = writing, None
                await earlier
            if block:
                if body_writer.full:
                    await body_writer.drained()
                writing, sent = body_writer.put(block), sent + len(block)
            if loop.time() >= until:
                break
    finally:
        if writing:
            await writing


def _plain(request: web.Request | Headed) -> asyncio.Transport | None:
    """Return the transport of a body that can be read from its socket: large, of known length, without TLS."""
    transport = request.transport
    if (request.content_length or 0) < LARGE or not isinstance(request.protocol, Connection) or transport is None:
        return None
    if not request.protocol.can_bypass_parser or transport.get_extra_info("sslcontext"):
        return None
    return transport


async def take_whole(request: web.Request, most: int) -> bytes:
    """Take the body of a request if all of it has arrived, and it has `most` bytes at most; nothing otherwise."""
    content, size = request.content, request.content_length
    if not size or size > most or not request.body_exists:
        return b""
    if not content.is_eof():
        await asyncio.sleep(0)  # it may be in the socket, if the client has sent it by itself
    return content.read_nowait() if content.is_eof() and content.exception() is None else b""


class RequestBody:
    """The body of a request. It is cut if `idle` seconds bring no byte, or fewer than `rate` bytes a second.

    A body in chunks is cut behind its first `most` bytes. A larger one of known size comes no further than
    `server/http/problems.py`.

    `build_interim` writes the informational replies of its dialect.
    """

    def __init__(
        self,
        request: web.Request | Headed,
        idle: float,
        rate: float = 0,
        build_interim: Callable[[Upload], Reply] | None = None,
        *,
        most: int | None = None,
    ) -> None:
        self._request, self._build_interim = request, build_interim
        self._most, self._room = most, inf if most is None else most  # bytes that may still come
        self._content: StreamReader = request.content
        self._idle, self._least = idle, idle * rate
        self._timer: asyncio.Timeout | None = None
        self._silent = 0.0  # seconds of waiting since the last byte
        self._waited, self._heard = 0.0, 0  # seconds, and the bytes that arrived in them, of the current measurement
        self._expected = request.version >= HttpVersion11 and "Expect" in request.headers
        self._ended = not request.body_exists
        self._cut_by: Refusal | None = None
        self._begun = self._bypassed = False
        self._socket_reader: SocketReader | None = None
        self._plain = _plain(request)
        self._paused: asyncio.TimerHandle | None = None
        if self._plain is not None:
            self._plain.pause_reading()
            self._paused = asyncio.get_running_loop().call_later(PAUSE, self._plain.resume_reading)
        self._left = False  # whether bytes that arrived before a cut may still be in the socket

    @property
    def _connection(self) -> Connection:
        return cast("Connection", self._request.protocol)

    @property
    def over(self) -> bool:
        """Return whether nothing more will arrive."""
        return self._ended or (self._cut_by is not None and not self._left)

    @property
    def cut_by(self) -> Refusal | None:
        """Return the reason why the body was cut before its end, or None."""
        return None if self._ended else self._cut_by

    def cut(self, why: Refusal) -> None:
        """End the body now, for the reason `why`; bytes that have arrived still count."""
        if not self.over and self._cut_by is None:
            self._cut_by, self._left = why, self._socket_reader is not None
            if self._timer is not None:
                with suppress(RuntimeError):  # the time-out has expired at this moment, which ends the wait as well
                    self._timer.reschedule(asyncio.get_running_loop().time())

    async def begin(self) -> None:
        """Ask the client for the body, if it waits for that; repeated calls change nothing. Raises ConnectionError."""
        if not self._begun and not self.over:
            await self._ask()
            self._unpause()

    async def _ask(self) -> None:
        self._begun = True
        if self._expected:
            await send_interim(cast("web.Request", self._request), CONTINUE)

    async def pour(self, body_writer: BodyWriter, most: int, until: float) -> None:
        """Move about `most` bytes into the writer; fewer at the loop's time `until`, or when the body is over."""
        if self._plain is not None and most >= LARGE and not self._bypassed and not self.over:
            self._bypassed = True
            if not self._begun:  # reading stays paused until it is known whether aiohttp reads this body
                await self._ask()
            if self._content.exception() is None:
                await self._take(body_writer, self._plain)
            if self._socket_reader is None:
                self._unpause()
        await self.begin()
        if self._socket_reader is not None:
            await self._draw(self._socket_reader, body_writer, most, until)
        else:
            await pour_blocks(self, body_writer, most, until)

    async def tell(self, upload: Upload) -> None:
        """Send the dialect's informational reply about what is recorded, if it has one."""
        if self._build_interim is not None:
            with suppress(ConnectionError):  # the body finds out by itself that the connection is lost
                await send_interim(cast("web.Request", self._request), self._build_interim(upload))

    def close(self) -> None:
        """Return the connection to aiohttp, which drops the rest of the body."""
        self._unpause()
        if self._socket_reader is not None:
            self._socket_reader.close()

    def _unpause(self) -> None:
        if self._paused is not None:
            self._paused.cancel()
            if self._plain is not None:
                self._plain.resume_reading()

    async def _take(self, body_writer: BodyWriter, transport: asyncio.Transport) -> None:
        """Begin to read the socket itself; the bytes that aiohttp has read already come first."""
        content, size = self._content, self._request.content_length or 0
        try:
            socket_reader = SocketReader(transport)
        except OSError:  # no descriptor is left, or the connection is closed, which the stream reports
            return
        before = b""
        while data := content.read_nowait():
            before += data
        if rest := size - content.total_bytes:
            self._connection.bypass_parser()
            if self._paused is not None:
                self._paused.cancel()
            socket_reader.begin(before, rest)
            self._socket_reader = socket_reader
        else:
            socket_reader.close()
            self._ended = True
            if body_writer.full:
                await body_writer.drained()
            await body_writer.put(before)

    async def _draw(self, socket_reader: SocketReader, body_writer: BodyWriter, most: int, until: float) -> None:
        loop, end = asyncio.get_running_loop(), body_writer.position + most
        while not self.over and body_writer.position < end and loop.time() < until:
            if body_writer.full:
                await body_writer.drained()
            elif self._left:
                self._left = False
                await self._let_in(socket_reader, body_writer, BUFFER, until - loop.time())
            elif socket_reader.silent:
                await self._wait(socket_reader, until)
            else:
                await self._let_in(socket_reader, body_writer, end - body_writer.position, until - loop.time())

    async def _let_in(self, socket_reader: SocketReader, body_writer: BodyWriter, most: int, seconds: float) -> None:
        start = body_writer.position
        await body_writer.run(partial(socket_reader.draw, body_writer, most, seconds, lambda: self._left))
        self._hear(body_writer.position - start, 0)
        if not socket_reader.rest:
            self._ended = True
            self._connection.resume_parser(self._content)
        elif socket_reader.lost and self._cut_by is None:
            self._cut_by = Unavailable("The connection was lost.")

    async def _wait(self, socket_reader: SocketReader, until: float) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout_at(until) as self._timer:
                await socket_reader.readable()
        except TimeoutError:
            pass
        finally:
            self._timer = None
        self._hear(0, loop.time() - began)

    async def block(self, size: int, until: float) -> bytes:
        """Collect about `size` bytes; fewer at the loop's time `until`, or when the body is over."""
        parts: list[bytes] = []
        count = 0
        while count < size and not self.over:
            data, late = await self._next(until, size - count if size < LARGE else -1)
            parts.append(data)
            count += len(data)
            if late:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _next(self, until: float, most: int) -> tuple[bytes, bool]:
        """Return up to `most` bytes (-1: any number), and whether the wait ended by the time `until` or by a fault."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            data = self._content.read_nowait(most)
            if not data and not self._content.at_eof():
                async with asyncio.timeout_at(until) as self._timer:
                    data = await self._content.read(most) if most > 0 else await self._content.readany()
        except (OSError, web.RequestPayloadError):  # a TimeoutError is one, of the timer or of the connection
            self._hear(0, loop.time() - began)
            return self._bounded(self._rest()), True
        finally:
            self._timer = None
        self._ended = self._content.at_eof()
        self._hear(len(data), loop.time() - began)
        return self._bounded(data), False

    def _bounded(self, data: bytes) -> bytes:
        """Count bytes against the largest body of one request; those beyond it are dropped, and cut the body."""
        self._room -= len(data)
        if self._room >= 0 or self._most is None:
            return data
        self._ended, self._cut_by = False, RequestTooLarge(limit=self._most)
        return data[: len(data) + int(self._room)]

    def _hear(self, count: int, seconds: float) -> None:
        """Count the bytes of a wait that took so many seconds; cut a body that brings none, or too few."""
        self._silent = 0.0 if count else self._silent + seconds
        self._waited, self._heard = self._waited + seconds, self._heard + count
        if self.over:
            return
        if self._silent > self._idle:
            self._cut_by = BodyStalled(f"No byte arrived for {self._idle:g} s.")
        elif self._waited > self._idle:
            if self._heard < self._least:
                self._cut_by = BodyStalled(f"Fewer than {self._least:g} bytes arrived in {self._idle:g} s.")
            self._waited, self._heard = 0.0, 0

    def _rest(self) -> bytes:
        """Take the bytes that have arrived; if the stream has ended by a fault, cut the body for that reason."""
        fault = self._content.exception()
        if fault is None:
            return self._content.read_nowait()
        framing = isinstance(fault, web.RequestPayloadError)
        self._cut_by = (
            BadRequest("The framing of the body is broken.") if framing else Unavailable("The connection was lost.")
        )
        return take_held(self._content)
