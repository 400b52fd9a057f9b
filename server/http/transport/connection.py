"""aiohttp's connections, with broken HTTP answered in the words of every other refusal, and told to who reads a body.

aiohttp answers what its parser can't read in plain text that repeats the request, and only once the request before it
is through, whose body then never ends. It has no public way in.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from math import inf
from typing import Any, cast

import aiohttp
from aiohttp import StreamReader, web
from aiohttp.http import HttpProcessingError, HttpRequestParser
from aiohttp.http_exceptions import LineTooLong

from onward.protocol.dialects import DEFAULT
from onward.protocol.errors import BadRequest, Crowded, HeadTooLarge, ServerFault
from onward.server.http.app_keys import CLOSE
from onward.server.http.problems import log, mark_answer, problem
from onward.server.http.transport import support
from onward.server.http.transport.support import ErrInfo
from onward.server.http.transport.tcp import STALL, reset, untaken

LARGEST_READ = 2**16  # bytes; a head, and a small body with it
# Its request is not read yet, and may be a HEAD that asks for the offset.
_REFUSAL = problem(Crowded("There are too many connections from this address."), for_offset=True)
_BODY = _REFUSAL.text or ""
_STAMP = "".join(f"{name}: {value}\r\n" for name, value in DEFAULT.stamp.items())
_CROWDED = (
    f"HTTP/1.1 {_REFUSAL.status} {_REFUSAL.reason}\r\n"
    f"Content-Type: {_REFUSAL.content_type}\r\nContent-Length: {len(_BODY)}\r\n"
    f"Retry-After: {_REFUSAL.headers['Retry-After']}\r\n{_STAMP}Connection: close\r\n\r\n{_BODY}"
).encode()


class Connection(web.RequestHandler):
    """One connection of a client."""

    __slots__ = ("_address", "_bypassed", "_look", "_newest")

    def __init__(self, manager: web.Server, **words: Any) -> None:
        super().__init__(manager, **words)
        self._bypassed = False
        self._look: asyncio.TimerHandle | None = None
        self._newest: tuple[Any, StreamReader] | None = None

    @property
    def can_be_set_aside(self) -> bool:
        """Tell whether a body may be read past the parser."""
        return isinstance(self._manager, _Server) and self._manager.fast

    def bypass_parser(self) -> None:
        """Keep what comes from the parser: a body is read past it, and what is left of that is dropped."""
        self._bypassed = True

    def resume_parser(self, request: web.BaseRequest) -> None:
        """Go on with the next request: the body was read to its end."""
        self._parser = self.fresh_parser()
        self._bypassed = False
        request.content.feed_eof()

    def fresh_parser(self) -> HttpRequestParser:
        """Make a parser that has seen nothing yet."""
        return HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=web.RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, or refuse one too many; its first request is to come soon."""
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # of asyncio's own: what one read takes of a large body is only in the way
            transport.max_size = LARGEST_READ
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=0)  # whatever waits is seen to wait
        server = cast("_Server", self._manager)
        self._address = (transport.get_extra_info("peername") or ("",))[0]
        server.addresses[self._address] += 1
        if self._keepalive_handle is not None:
            self._keepalive_handle.cancel()
            self._next_keepalive_close_time = self._loop.time() + server.header_wait
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)
        if self._address and 0 < server.most < server.addresses[self._address]:
            cast("asyncio.Transport", transport).write(_CROWDED)
            transport.close()

    def close(self) -> None:
        """End a connection once what it was asked is answered; nothing was if its task hasn't even begun to wait."""
        super().close()
        if self._newest is None and self._waiter is None:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let a connection go."""
        if isinstance(self._manager, _Server):
            addresses = self._manager.addresses
            addresses[self._address] -= 1
            if not addresses[self._address]:
                del addresses[self._address]
        self._look_no_more()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for a peer that doesn't take all at once, as long as it takes something."""
        super().pause_writing()
        if self.transport is not None:
            self._look_after(self.transport, inf)

    def resume_writing(self) -> None:
        """Wait for it no longer."""
        self._look_no_more()
        super().resume_writing()

    def _look_after(self, transport: asyncio.Transport, before: float) -> None:
        waiting = transport.get_write_buffer_size()
        with suppress(OSError, ValueError):  # closed meanwhile
            waiting += untaken(transport.get_extra_info("socket").fileno())
        if waiting >= before:
            reset(transport)
        else:
            self._look = self._loop.call_later(STALL, self._look_after, transport, waiting)

    def _look_no_more(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def data_received(self, data: bytes) -> None:
        """Take bytes; where they end a body by not being its framing, its reader is told."""
        if self._bypassed:
            return
        super().data_received(data)
        if not self._messages:
            return
        self._newest = self._messages[-1]
        if isinstance(self._newest[0], ErrInfo):
            request = self._current_request
            if request is not None and not request.content.is_eof() and request.content.exception() is None:
                request.content.set_exception(web.RequestPayloadError("not framed as it should be"))

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep a connection whose client has sent all of a request until that is answered; a watcher has left."""
        idle = self._waiter is not None and not self._waiter.done()
        if idle or self._newest is None or self.ssl_context is not None:
            return False
        message, body = self._newest
        if isinstance(message, ErrInfo) or message.method == "GET" or not body.is_eof():
            return False
        self.close()  # once it is answered
        return True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,  # noqa: ARG002
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Refuse what isn't HTTP, and close the connection; raises ConnectionError where no answer can be given."""
        if isinstance(exc, ConnectionError):
            log.info("the connection of %s ended before its answer", request.remote)
            raise exc
        if isinstance(exc, HttpProcessingError):
            log.info("broken HTTP from %s: %s", request.remote, type(exc).__name__)
        else:
            log.error("a request from %s failed", request.remote, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun")
        response = problem(_refusal_of(exc))
        mark_answer(response)
        response.force_close()
        return response

    def log_exception(self, *words: Any, **named: Any) -> None:
        """Log a fault; one line, without a traceback, of a body that its client has framed wrongly or cut."""
        fault = named.get("exc_info")
        if isinstance(fault, web.RequestPayloadError | HttpProcessingError | ConnectionError):
            log.info("the rest of a body from %s can't be read: %s", self._address, fault)
        else:
            super().log_exception(*words, **named)


def _refusal_of(fault: BaseException | None) -> BadRequest | HeadTooLarge | ServerFault:
    if isinstance(fault, LineTooLong):
        return HeadTooLarge()
    if isinstance(fault, HttpProcessingError):
        return BadRequest("The request is not HTTP/1.1 as it should be.")
    return ServerFault()


class _Server(web.Server):
    """Makes the connections, `most` from one address at once; `made` is the one that aiohttp would have used."""

    def __init__(self, made: web.Server, header_wait: float, most: int) -> None:
        self.header_wait, self.most = header_wait, most
        self.fast = False  # whether bodies may be read past aiohttp
        self.addresses: Counter[str] = Counter()
        super().__init__(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Serves an application by such connections; the words are those of web.AppRunner otherwise."""

    __slots__ = ("_header_wait", "_most")

    def __init__(self, app: web.Application, *, header_wait: float, connections: int, **words: Any) -> None:
        super().__init__(app, **words)
        self._header_wait, self._most = header_wait, connections

    async def setup(self) -> None:
        """Start the application; where that fails, everything that was opened for it is closed."""
        if not support.is_tested():
            log.warning("aiohttp %s is none of the versions that this server is tested with", aiohttp.__version__)
        try:
            await super().setup()
        except BaseException:
            await self._close_all(self.app)
            raise

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        try:
            server = _Server(made, self._header_wait, self._most)
            connection = server()
            missing = support.missing_for_connections(connection)
        except (AttributeError, TypeError) as error:
            missing = [str(error)]
        if missing:
            log.warning("aiohttp lacks %s: its own connections are used, with fewer limits", ", ".join(missing))
            return made
        if missing := support.missing_for_fast_bodies(connection, connection.fresh_parser):
            log.warning("aiohttp lacks %s: large bodies are read more slowly, from its stream", ", ".join(missing))
        server.fast = not missing
        return server

    async def _close_all(self, app: web.Application) -> None:
        """Leave the contexts that were entered, those of mounted applications first, and close the engines."""
        for mounted in getattr(app, "_subapps", ()):
            await self._close_all(mounted)
        try:
            await app.cleanup()
        except Exception:
            log.exception("an application could not be cleaned up after a start that failed")
        if CLOSE in app:
            await app[CLOSE]()
