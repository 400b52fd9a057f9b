"""aiohttp's connections, with broken HTTP answered in the words of every other refusal, and told to who reads a body.

aiohttp answers what its parser can't read in plain text that repeats the request, and only once the request before it
is through, whose body then never ends. It has no public way in.
"""

from aiohttp import web
from aiohttp.web_protocol import _ErrInfo

from protocol.errors import BadRequest
from server.middleware import log, mark_answer, problem


class Connection(web.RequestHandler):
    """One connection of a client."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Take bytes; where they end a body by not being its framing, its reader is told."""
        super().data_received(data)
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            request = self._current_request
            if request is not None and not request.content.is_eof() and request.content.exception() is None:
                request.content.set_exception(web.RequestPayloadError("not framed as it should be"))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,  # noqa: ARG002
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Refuse what isn't HTTP, and close the connection; raises ConnectionError where an answer has begun."""
        log.info("broken HTTP from %s: %s", request.remote, type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun")
        response = problem(BadRequest("The request is not HTTP/1.1 as it should be."))
        mark_answer(response)
        response.force_close()
        return response


class _Server(web.Server):
    """Makes the connections; `made` is the one that aiohttp would have used."""

    def __init__(self, made: web.Server) -> None:
        super().__init__(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Serves an application by such connections."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        return _Server(await super()._make_server())
