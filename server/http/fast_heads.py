"""Short answers to HEAD /files/{id}, which need no request of aiohttp, no task and no waiting.

A client that resumes asks for the offset first, and some ask all the time. Nearly every answer is in memory. So the
connection (`transport/connection.py`) shows each HEAD to `FastHeads` as soon as it is parsed, and gets the bytes of the
answer, or None. After None the request takes the slow path, through the routes, as if nothing had happened.

    aiohttp's parser ── connection.py ──┬── fast_heads.py: is it the plain case?  yes: one write
                                        └── no: task, request, middleware, routes, response

A shared state (Redis) has to be asked, so there the answer comes later; the connection is busy until then.

`fast_path.py` reads the request and writes the answer, by the functions of the slow path. Every refusal is left to the
slow path, and so is every fault.
"""

from aiohttp import web
from aiohttp.http import RawRequestMessage

from onward.protocol.errors import Refusal
from onward.protocol.model import Upload
from onward.server.http.access import ACCESS, TOKENS, allow_everything
from onward.server.http.completed_steps import CompletedSteps
from onward.server.http.fast_path import FastPath, PlainRequest
from onward.server.http.problems import log
from onward.server.uploads.offset_lookup import look_up, look_up_in_store
from onward.storage.base import StorageError, Unreachable

HEAD = "HEAD"
BUILT: web.AppKey[tuple[object, ...]] = web.AppKey("built", tuple)  # what `create_app` has added to the application


def parts_of(app: web.Application) -> tuple[object, ...]:
    """Return the parts of an application that see its requests and replies."""
    return (*app.middlewares, *app.on_response_prepare, *app.router.resources())


def is_plain(app: web.Application) -> bool:
    """Return whether a started application may be passed by.

    Not if a token or the application has to be asked first, or if somebody has added a part to what `create_app` built
    which would not see these requests. An application that mounts the server is not one of `create_app`.
    """
    return app.get(BUILT) == parts_of(app) and app[ACCESS] is allow_everything and app[TOKENS] is None


class FastHeads:
    """Answers HEAD for one started application."""

    def __init__(self, way: FastPath) -> None:
        self._way, self._records = way, way.engine.records
        self._waits = not self._records.storage.state.is_own

    def answer(self, message: RawRequestMessage, remote: str) -> bytes | PlainRequest | None:
        """Return the whole answer to a HEAD without a body, or None; `remote` is the address of the client.

        If the state is shared, a request that may be answered is returned, for `answer_later`. An answer is counted and
        logged before it is returned.
        """
        try:
            if (asked := self._read(message, remote)) is None or self._waits:
                return asked
            assert asked.id is not None  # noqa: S101
            upload = look_up(self._records, asked.id, finish=asked.dialect.last_byte_finishes)
            return None if upload is None else self._write(asked, upload)
        except Exception as fault:
            return self._leave(fault)

    async def answer_later(self, asked: PlainRequest) -> bytes | CompletedSteps | None:
        """Return the answer to a request, or None, after the state was asked; or that it does not answer."""
        try:
            assert asked.id is not None  # noqa: S101
            upload = await look_up_in_store(self._records, asked.id, finish=asked.dialect.last_byte_finishes)
            return None if upload is None else self._write(asked, upload)
        except Unreachable as fault:  # the slow path waits for it, and this was a part of the wait
            return CompletedSteps(asked.request_id, asked.began, [fault])
        except Exception as fault:
            return self._leave(fault)

    @staticmethod
    def _leave(fault: Exception) -> None:
        """Leave a request to the slow path, which meets the same fault and answers it; logs what no client causes."""
        if not isinstance(fault, Refusal | StorageError):
            log.error("HEAD is answered on the slow path after a fault", exc_info=fault)

    def _read(self, message: RawRequestMessage, remote: str) -> PlainRequest | None:
        """Read a request, or return None if it isn't a plain one; raises Refusal."""
        if (asked := self._way.read(message, remote)) is not None:
            if "content-length" in asked.lower:
                return None
            asked.dialect.check_headers(HEAD, asked.lower)
        return asked

    def _write(self, asked: PlainRequest, upload: Upload) -> bytes | None:
        """Write the answer, count it and log it; None if a header is not one line."""
        reply = asked.dialect.build_inspected(upload, self._way.engine.limits, self._records.clock())
        return self._way.write(asked, reply, {})
