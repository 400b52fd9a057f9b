"""The body of a request; a rival, a stall and a dead peer all end it in the same way.

A large plain one is read from the socket itself, every other from aiohttp's stream. Whatever the kernel handed over
counts: bytes that came together with the end of the connection too.
"""

import asyncio
from contextlib import suppress
from functools import partial
from typing import cast

from aiohttp import HttpVersion11, StreamReader, web

from onward.protocol.errors import BadRequest, BodyStalled, Refusal, Unavailable
from onward.server.http.transport.connection import Connection
from onward.server.http.transport.socket_reader import BUFFER, SocketReader
from onward.server.http.transport.support import take_held
from onward.server.uploads.body_writer import BodyWriter
from onward.server.uploads.receive import pour_blocks

PAUSE = 0.1  # seconds that aiohttp is kept from reading it before; who waits longer has to hear of a client that leaves
LARGE = 2**17  # bytes of a body from which on the socket itself is worth it


def _plain(request: web.Request) -> asyncio.Transport | None:
    """Give the transport of a large body that can be read from its socket: of known length, and without TLS."""
    transport = request.transport
    if (request.content_length or 0) < LARGE or not isinstance(request.protocol, Connection) or transport is None:
        return None
    if not request.protocol.can_bypass_parser or transport.get_extra_info("sslcontext"):
        return None
    return transport


class RequestBody:
    """The body of a request, as it arrives: `rate` bytes a second at least, and one at all, in any `idle` seconds."""

    def __init__(self, request: web.Request, idle: float, rate: float = 0) -> None:
        self._request = request
        self._content: StreamReader = request.content
        self._idle, self._least = idle, idle * rate
        self._timer: asyncio.Timeout | None = None
        self._silent = self._waited = 0.0  # seconds: since the last byte, and in which `_heard` bytes came
        self._heard = 0
        self._expected = request.version >= HttpVersion11 and "Expect" in request.headers
        self._ended = not request.body_exists
        self._cut_by: Refusal | None = None
        self._begun = False
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
        """Tell whether nothing more will come."""
        return self._ended or (self._cut_by is not None and not self._left)

    @property
    def cut_by(self) -> Refusal | None:
        """Give what cut the body short, if anything did."""
        return None if self._ended else self._cut_by

    def cut(self, why: Refusal) -> None:
        """End the body now; what has arrived still counts."""
        if not self.over and self._cut_by is None:
            self._cut_by, self._left = why, self._socket_reader is not None
            if self._timer is not None:
                with suppress(RuntimeError):  # its time has come at this very moment, which ends the wait as well
                    self._timer.reschedule(asyncio.get_running_loop().time())

    async def pour(self, body_writer: BodyWriter, most: int, until: float) -> None:
        """Let about `most` bytes in, fewer at the loop's time `until` or when the body is over."""
        if not self._begun and not self.over:
            self._begun = True
            if self._expected:
                await self._continue()
            self._unpause()
            if self._plain is not None and self._content.exception() is None:
                await self._take(body_writer, self._plain)
        if self._socket_reader is not None:
            await self._draw(self._socket_reader, body_writer, most, until)
        else:
            await pour_blocks(self, body_writer, most, until)

    def close(self) -> None:
        """Give the connection back to aiohttp, which drops what is left of the body."""
        self._unpause()
        if self._socket_reader is not None:
            self._socket_reader.close()

    def _unpause(self) -> None:
        if self._paused is not None:
            self._paused.cancel()
            if self._plain is not None:
                self._plain.resume_reading()

    async def _take(self, body_writer: BodyWriter, transport: asyncio.Transport) -> None:
        """Take the socket, with what aiohttp has read of the body already."""
        content, size = self._content, self._request.content_length or 0
        try:
            socket_reader = SocketReader(transport)
        except OSError:  # no descriptor is left, or the connection is closed: the stream will tell
            return
        before = b""
        while data := content.read_nowait():
            before += data
        if rest := size - content.total_bytes:
            self._connection.bypass_parser()
            socket_reader.begin(before, rest)
            self._socket_reader = socket_reader
        else:
            socket_reader.close()
            self._ended = True
            await body_writer.put(before)

    async def _draw(self, socket_reader: SocketReader, body_writer: BodyWriter, most: int, until: float) -> None:
        loop, end = asyncio.get_running_loop(), body_writer.position + most
        while not self.over and body_writer.position < end and loop.time() < until:
            if self._left:
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
            self._connection.resume_parser(self._request)
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
        """Collect about `size` bytes, fewer at the loop's time `until` or when the body is over."""
        parts: list[bytes] = []
        count = 0
        while count < size and not self.over:
            data, late = await self._next(until)
            parts.append(data)
            count += len(data)
            if late:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _next(self, until: float) -> tuple[bytes, bool]:
        """Give what has arrived, waiting for it until a time, and whether that time came."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            data = self._content.read_nowait()
            if not data and not self._content.at_eof():
                async with asyncio.timeout_at(until) as self._timer:
                    data = await self._content.readany()
        except (OSError, web.RequestPayloadError):  # a TimeoutError is one, of the timer or of the connection
            self._hear(0, loop.time() - began)
            return self._rest(), True
        finally:
            self._timer = None
        self._ended = self._content.at_eof()
        self._hear(len(data), loop.time() - began)
        return data, False

    def _hear(self, count: int, seconds: float) -> None:
        """Note how many bytes a wait has brought, and cut a body that brings none, or too few."""
        self._silent = 0.0 if count else self._silent + seconds
        self._waited, self._heard = self._waited + seconds, self._heard + count
        if self.over:
            return
        if self._silent > self._idle:
            self._cut_by = BodyStalled(f"No byte came for {self._idle:g} s.")
        elif self._waited > self._idle:
            if self._heard < self._least:
                self._cut_by = BodyStalled(f"Fewer than {self._least:g} bytes came in {self._idle:g} s.")
            self._waited, self._heard = 0.0, 0

    def _rest(self) -> bytes:
        """Take what has arrived, and note what the stream ended by, if it has."""
        fault = self._content.exception()
        if fault is None:
            return self._content.read_nowait()
        framing = isinstance(fault, web.RequestPayloadError)
        self._cut_by = (
            BadRequest("The body is not framed as it should be.")
            if framing
            else Unavailable("The connection was lost.")
        )
        return take_held(self._content)

    async def _continue(self) -> None:
        """Ask for the body (RFC 9110, 10.1.1); aiohttp has no public way once the handler runs."""
        await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._request.writer.output_size = 0
