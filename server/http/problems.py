"""The middleware around every handler: it answers refusals with problem documents (RFC 9457), and logs each request.

This is the only place where a refusal, a fault of the storage, an exception of aiohttp or an unexpected error becomes a
reply. server/app.py adds `answering` and `mark`; the transport uses `problem` for what is no request at all.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import HttpVersion11, web

from onward.protocol import errors
from onward.protocol.dialects import DEFAULT, Dialect
from onward.protocol.model import Limits
from onward.server.http.app_keys import CONFIG, ENGINE, dialect_of, named_dialect
from onward.server.http.completed_steps import take_completed_steps
from onward.server.http.request_head import check_message
from onward.server.http.request_log import BEGAN, CURRENT, HEADER, ID, LEFT, REASON, note_answer, request_id
from onward.storage.base import Crowded, Full, Held, Missing, Stale, StorageError, Unreachable
from onward.storage.failure_log import shorten_ids

CONTINUE = "100-continue"
log = logging.getLogger("onward")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FAULTS: dict[type[StorageError], type[errors.Refusal]] = {
    Missing: errors.NotFound,
    Stale: errors.Locked,
    Held: errors.Locked,
    Crowded: errors.Crowded,
    Full: errors.StorageFull,
    Unreachable: errors.Unavailable,
}


ASKED_FOR = (Missing, Stale, Held, Crowded)  # faults that clients cause; operators need not look at them
APPLICATION = {kind.status: kind for kind in (errors.BadRequest, errors.AccessDenied, errors.NotFound)}
OF_BODIES = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding"})


def problem(
    refusal: errors.Refusal,
    dialect: Dialect = DEFAULT,
    *,
    for_offset: bool = False,
    limits: Limits | None = None,
    now: float = 0.0,
) -> web.Response:
    """Write a refusal as a reply; `for_offset` if the request asks, or may ask, for the offset of an upload."""
    reply = dialect.build_refused(refusal, for_offset, limits or Limits(), now)
    return web.Response(status=reply.status, headers=reply.headers, body=reply.body)


def _answer(request: web.Request, refusal: errors.Refusal) -> web.Response:
    engine = request.app[ENGINE]
    request[REASON] = refusal.code
    return problem(
        refusal,
        dialect_of(request),
        for_offset=_asks_for_offset(request),
        limits=engine.limits,
        now=engine.records.clock(),
    )


def _refused_by_aiohttp(error: web.HTTPException) -> errors.Refusal:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return errors.MethodNotAllowed(allowed=error.allowed_methods)
    if error.status == 404:
        return errors.NotFound()
    return errors.BadRequest(error.text or "")


def _asks_for_offset(request: web.Request) -> bool:
    """Return whether a request of a dialect asks for the offset of an upload."""
    dialect = named_dialect(request)
    if dialect is None or "id" not in request.match_info:
        return False
    return dialect.find_method(request.method, request.headers) == "HEAD"


def _answered_by_exception(request: web.Request, error: web.HTTPException) -> web.Response:
    """Answer an exception of aiohttp. One of its router is answered like a refusal.

    Any other comes from the application: its access function or its middleware refuses in this way. Its status, reason
    and headers are kept, and an error gets a problem document. A redirect, which is no error, is passed on unchanged.
    """
    if error is request.match_info.http_exception:
        return _answer(request, _refused_by_aiohttp(error))
    whole = error.status < 400
    response = web.Response(status=error.status, body=error.body) if whole else _answer(request, _described(error))
    if response.status == error.status:
        response.set_status(error.status, error.reason)
    passed = [(name, value) for name, value in error.headers.items() if whole or name.lower() not in OF_BODIES]
    for name, _ in passed:
        response.headers.popall(name, None)
    response.headers.extend(passed)
    response.cookies.update(error.cookies)
    return response


def _described(error: web.HTTPException) -> errors.Refusal:
    """Return an application's error as a refusal, with its own reason and text if it has them."""
    phrase = HTTPStatus(error.status).phrase if error.status in set(HTTPStatus) else "Refused"
    known = APPLICATION.get(error.status)
    refusal = errors.Refusal("" if error.text == f"{error.status}: {error.reason}" else error.text or "")
    refusal.status = error.status
    refusal.code = known.code if known else phrase.lower().replace(" ", "-")
    refusal.title = known.title if known and error.reason == phrase else error.reason
    return refusal


def refusal_of(fault: StorageError) -> errors.Refusal:
    """Return the refusal that stands for a fault of the storage."""
    return FAULTS[type(fault)]()


def _check_size(request: web.Request) -> None:
    """Refuse a body of known size that is larger than one request may bring. RequestBody counts those in chunks."""
    most = request.app[CONFIG].max_request
    if most and (request.content_length or 0) > most:
        raise errors.RequestTooLarge(limit=most)


async def _handle(request: web.Request, handler: Handler) -> web.StreamResponse:
    _check_size(request)
    if request.version >= HttpVersion11 and request.headers.get("Expect", CONTINUE).lower() != CONTINUE:
        raise errors.ExpectationFailed
    try:
        return await handler(request)
    except errors.Refusal as refusal:
        _log_reason(request, refusal)
        raise


def _path(request: web.Request) -> str:
    """Return the beginning of a path for the log, which has no whole ids."""
    return ascii(request.rel_url.raw_path[:16])


def _log_reason(request: web.Request, refusal: errors.Refusal) -> None:
    """Log the fault of the storage behind a refusal that a handler has already made from it, as `create` does."""
    fault = refusal if isinstance(refusal, errors.StorageFull) else refusal.__cause__
    asked_for = isinstance(refusal, errors.NotFound | errors.Locked | errors.Crowded | errors.QuotaExceeded)
    if isinstance(fault, StorageError | errors.StorageFull) and not asked_for:
        level = logging.INFO if isinstance(fault, StorageError) and fault.reported else logging.WARNING
        log.log(level, "%s %s: %s", request.method, _path(request), fault)


def marks(dialect: Dialect) -> dict[str, str]:
    """Return the headers that every reply has: the name of the software without its version, and those of a dialect."""
    return {"Server": "onward", **dialect.stamp}


def mark_answer(response: web.StreamResponse, dialect: Dialect = DEFAULT) -> None:
    """Add the headers that every reply has."""
    response.headers.update(marks(dialect))


async def mark(request: web.Request, response: web.StreamResponse) -> None:
    """Mark a reply before it is sent; a signal handler of the application."""
    mark_answer(response, dialect_of(request))
    if (id_ := request.get(ID)) is not None:
        response.headers[HEADER] = id_


@web.middleware
async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every refusal and every fault with a problem document, log the request, and count it."""
    done, sound = take_completed_steps(request), False
    request[BEGAN] = done.began if done else time.monotonic()
    id_ = request[ID] = done.request_id if done else request_id(request.headers)
    CURRENT.set(id_)
    try:
        check_message(request.headers, request.version)
        sound = True
        response = await _handle(request, handler)
    except errors.Refusal as refusal:
        response = _answer(request, refusal)
    except StorageError as fault:
        level = logging.INFO if isinstance(fault, ASKED_FOR) or fault.reported else logging.WARNING
        log.log(level, "%s %s: %s %s", request.method, _path(request), type(fault).__name__, shorten_ids(str(fault)))
        response = _answer(request, refusal_of(fault))
    except web.HTTPException as error:
        response = _answered_by_exception(request, error)
    except ConnectionError:  # the client has closed the connection, and aiohttp handles that
        note_answer(request, web.Response(status=LEFT))
        raise
    except Exception:
        log.exception("%s %s failed", request.method, _path(request))
        response = _answer(request, errors.ServerFault())
    if not response.prepared and not (sound and (request.content.is_eof() or not request.body_exists)):
        response.force_close()  # the next bytes on the connection may not be a request
    note_answer(request, response)
    CURRENT.set(None)  # the next lines of this connection are not about this request
    return response
