"""One connection of a client: aiohttp's, with the limits and the answers that it lacks.

- The first head of a new connection has to arrive in time, and the number of connections from one address is limited.
- HTTP that aiohttp's parser can't read is answered as every other refusal is, and it ends the body that is being read.
  (aiohttp answers it only after the request before it, whose body then never ends.)
- A client that has sent its whole request may close its sending side, and still gets its answer (half-close).
- A client that accepts none of its answer is reset (`stalled_reader.py`).
- A HEAD for an offset that is in memory is answered at once, without aiohttp's request, task and response
  (`fast_heads.py`), and a short body that has arrived with its head is stored without them (`fast_bodies.py`).
- The parser can be bypassed: then a large body is read from the socket itself (`socket_reader.py`).

`server.py` makes the connections; `body.py` bypasses the parser.
"""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, NamedTuple, cast

from aiohttp import StreamReader, web
from aiohttp.http import HttpProcessingError, HttpRequestParser

from onward.server.http.completed_steps import CompletedSteps
from onward.server.http.fast_path import FastPath, PlainRequest
from onward.server.http.problems import log, mark_answer, problem
from onward.server.http.transport.connection_limits import ConnectionLimits, FastPaths
from onward.server.http.transport.refusals import CROWDED, refusal_of
from onward.server.http.transport.stalled_reader import StallWatch
from onward.server.http.transport.support import ErrInfo


class _Later(NamedTuple):
    """A request whose answer is waited for. Until it comes, the connection has no `_waiter`, and so is not idle."""

    request: tuple[Any, StreamReader]
    waiter: asyncio.Future[None]  # aiohttp's, which wakes up the loop of its requests
    task: asyncio.Task[bytes | CompletedSteps | None]


FAST_METHODS = (b"HEAD ", b"PATCH ", b"POST ")  # how requests begin that may be answered past aiohttp
LARGEST_READ = 2**16  # bytes; a head, and a small body with it


class Connection(web.RequestHandler):
    """One connection of a client."""

    __slots__ = ("_address", "_bypassed", "_counted", "_half_closed", "_later", "_limits", "_newest", "_stall", "done")

    def __init__(self, manager: web.Server, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(manager, **options)
        self._limits = limits
        self._address, self._counted = "", False
        self._bypassed = False
        self._half_closed = False  # whether it ends after the answers to the requests that wait
        self._later: _Later | None = None  # the request whose answer is waited for
        self.done: CompletedSteps | None = None  # what the next request has done already
        self._stall = StallWatch(self._loop)
        self._newest: tuple[Any, StreamReader] | None = None  # the last request that the parser has read

    @property
    def can_bypass_parser(self) -> bool:
        """Return whether a body may be read from the socket itself."""
        return self._limits.can_bypass_parser

    def bypass_parser(self) -> None:
        """Keep all further bytes from the parser; if the body is not read to its end, its rest is dropped."""
        self._bypassed = True

    def resume_parser(self, request: web.BaseRequest) -> None:
        """Go on with the next request, after the body of this one was read to its end."""
        self._parser = self.fresh_parser()
        self._bypassed = False
        request.content.feed_eof()

    def fresh_parser(self) -> HttpRequestParser:
        """Make a parser that has not read anything yet."""
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
        """Accept a connection, or refuse it if its address has too many; starts the time-out of the first head."""
        super().connection_made(transport)
        if hasattr(transport, "max_size"):  # asyncio's own; a longer read of a large body would only delay the bypass
            transport.max_size = LARGEST_READ
        # With no room in asyncio's buffer, any byte that waits calls pause_writing, and so starts the stall watch.
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=0)
        if self._keepalive_handle is not None:
            self._keepalive_handle.cancel()
            self._next_keepalive_close_time = self._loop.time() + self._limits.header_wait
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)
        self._address = (transport.get_extra_info("peername") or ("",))[0]
        self._counted = True
        if not self._limits.enter(self._address):
            cast("asyncio.Transport", transport).write(CROWDED)
            transport.close()

    def close(self) -> None:
        """Close the connection after the current answer; or at once if it is so new that its task has not begun."""
        super().close()
        if self._newest is None and self._waiter is None:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop counting and watching the connection."""
        if self._later is not None:
            self._waiter, self._later = self._later.waiter, None  # aiohttp ends it now
        if self._counted:
            self._counted = False
            self._limits.leave(self._address)
        self._stall.end()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start to watch a client that does not accept all bytes at once."""
        super().pause_writing()
        if self.transport is not None:
            self._stall.begin(self.transport)

    def resume_writing(self) -> None:
        """Stop watching: the client has accepted everything."""
        self._stall.end()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Parse bytes; if they break the framing of the body that is being read, its stream gets the exception."""
        if self._bypassed:
            return
        waiter = self._waiter
        if self._limits.fast is not None and waiter is not None and data.startswith(FAST_METHODS) and not waiter.done():
            self._waiter = None  # so that aiohttp does not wake up to handle what is answered here
            try:
                super().data_received(data)
                if self._messages and not self._takes(self._limits.fast, waiter) and not waiter.done():
                    waiter.set_result(None)
            finally:
                if self._later is None:
                    self._waiter = waiter
        else:
            super().data_received(data)
        if not self._messages:
            return
        self._newest = self._messages[-1]
        if isinstance(self._newest[0], ErrInfo):
            request = self._current_request
            if request is not None and not request.content.is_eof() and request.content.exception() is None:
                request.content.set_exception(web.RequestPayloadError("the framing is broken"))

    def _takes(self, fast: FastPaths, waiter: asyncio.Future[None]) -> bool:
        """Answer the only request of an idle connection, now or soon, and return True; False if it isn't that simple.

        An answer that the client has not taken yet comes first: then the slow path waits until there is room.
        """
        message: Any
        message, body = self._newest = self._messages[-1]
        if len(self._messages) != 1 or isinstance(message, ErrInfo) or not body.is_eof() or self._upgraded:
            return False
        if self.transport is None or self.transport.get_write_buffer_size():
            return False
        coroutine: Coroutine[Any, Any, bytes | CompletedSteps | None]
        if message.method == "HEAD":
            if (answer := fast.heads.answer(message, self._remote())) is None:
                return False
            if isinstance(answer, bytes):
                self._messages.clear()
                self._write_answer(answer)
                return True
            asked, coroutine = answer, fast.heads.answer_later(answer)
        else:
            if self.ssl_context is not None or (work := fast.bodies.read(message, self._remote())) is None:
                return False
            asked, coroutine = work.asked, fast.bodies.do(work, body.read_nowait() if work.size else b"")
        self._messages.clear()
        task = self._loop.create_task(coroutine)
        self._later = _Later((message, body), waiter, task)
        self._limits.tasks.add(task)
        task.add_done_callback(partial(self._end_later, fast.way, asked))
        return True

    def _write_answer(self, answer: bytes) -> None:
        """Write an answer past aiohttp, and wait for the next request as long as after any other answer."""
        assert self.transport is not None  # noqa: S101
        assert self._parser is not None  # noqa: S101
        self._parser.message_consumed()
        self.transport.write(answer)
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)

    def _end_later(self, way: FastPath, asked: PlainRequest, task: asyncio.Task[bytes | CompletedSteps | None]) -> None:
        """Write the answer that was waited for, or hand its request to aiohttp; then go on with the next one."""
        self._limits.tasks.discard(task)
        answer = None if task.cancelled() else task.result()
        if (later := self._later) is None or self.transport is None:  # the connection was lost meanwhile
            if not isinstance(answer, bytes):
                way.note_lost(asked)
            return
        self._later, self._waiter = None, later.waiter
        if task.cancelled():  # the time of a stop is over
            self.force_close()
        elif isinstance(answer, bytes):
            self._write_answer(answer)
            if self._close or self._force_close:  # asked for while this was the current request
                self.force_close()
        else:
            self.done = answer
            self._messages.appendleft(later.request)
        if self._messages and not later.waiter.done():
            later.waiter.set_result(None)

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Wait for the answer that is due, as aiohttp does for those of its requests; then end the connection."""
        if (later := self._later) is not None:
            await asyncio.wait({later.task}, timeout=timeout)
        await super().shutdown(timeout)
        if later is not None:
            later.task.cancel()

    def _remote(self) -> str:
        """Return the address of the client as aiohttp's requests have it; empty for that of most Unix sockets."""
        name = self.peername
        return str(name[0]) if isinstance(name, tuple | list) else str(name or "")

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection of a client that has sent whole requests until each of them is answered.

        Returns False, which closes the connection, if it is idle, if its request is not complete, or if it is a GET: a
        watcher that closes its sending side has left. If such a request waits for its turn, it is dropped. Broken HTTP
        is answered.
        """
        idle = self._waiter is not None and not self._waiter.done()
        if idle or self._newest is None or self.ssl_context is not None:
            return False
        message, body = self._newest
        if not isinstance(message, ErrInfo) and (message.method == "GET" or not body.is_eof()):
            waits = self._messages and self._messages[-1] is self._newest
            is_first = len(self._messages) == 1 and self._later is None and not self._request_in_progress
            if not waits or is_first:
                return False
            self._messages.pop()
        if self._messages:
            self._half_closed = True
        else:
            self.close()
        return True

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; the last one to a client that has closed its sending side ends the connection."""
        finished = await super().finish_response(request, resp, start_time)
        if self._half_closed and not self._messages:
            self.close()
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,  # noqa: ARG002
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Refuse what is not HTTP, and close the connection; raises ConnectionError if no answer can be sent."""
        if isinstance(exc, ConnectionError):  # it is logged and counted where the request was handled
            raise exc
        if isinstance(exc, HttpProcessingError):
            log.info("broken HTTP from %s: %s", request.remote, type(exc).__name__)
        else:
            log.error("a request from %s failed", request.remote, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun")
        response = problem(refusal_of(exc))
        if self._limits.measures is not None:
            self._limits.measures.note_request(request.method, response.status, None)
        mark_answer(response)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **options: Any) -> None:
        """Log a fault; a body that its client has cut or framed wrongly is one line of INFO, without a traceback."""
        fault = options.get("exc_info")
        if isinstance(fault, web.RequestPayloadError | HttpProcessingError | ConnectionError):
            log.info("the rest of a body from %s can't be read: %s", self._address, fault)
        else:
            super().log_exception(*args, **options)
