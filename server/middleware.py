"""Refusals become answers (RFC 9457) in this one place, and each request one line in the log."""

import json
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import HttpVersion11, web

from protocol import errors
from protocol.tus1 import VERSION
from server.proxies import HOST
from storage.base import Crowded, Full, Held, Missing, Stale, StorageError, Unreachable

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


def problem(refusal: errors.Refusal) -> web.Response:
    """Write a refusal as an answer."""
    body = {"type": f"urn:onward:error:{refusal.code}", "title": refusal.title, "status": refusal.status}
    if refusal.detail:
        body["detail"] = refusal.detail
    return web.Response(
        status=refusal.status,
        body=json.dumps(body | {"code": refusal.code}).encode(),
        content_type="application/problem+json",
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} | refusal.headers,
    )


def _refused_by_aiohttp(error: web.HTTPException) -> errors.Refusal:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return errors.MethodNotAllowed(headers={"Allow": ",".join(sorted(error.allowed_methods))})
    if error.status == 404:
        return errors.NotFound()
    return errors.BadRequest(error.text or "")


def refusal_of(fault: StorageError) -> errors.Refusal:
    """Give the refusal that tells a client of a fault behind the seams."""
    return FAULTS[type(fault)]()


def _check_message(request: web.Request) -> None:
    """Refuse what a proxy on the way may have read otherwise (RFC 9112, 3.2 and 6.1); raises BadRequest."""
    if not HOST.fullmatch(request.headers.get("Host", "none")):
        raise errors.BadRequest("Host must be a name or an address, and a port.")
    coding = request.headers.get("Transfer-Encoding")
    if coding is not None and (coding.lower() != "chunked" or request.version < HttpVersion11):
        raise errors.BadRequest("No Transfer-Encoding but chunked of HTTP/1.1 can be taken.")


async def _handle(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.version >= HttpVersion11 and request.headers.get("Expect", CONTINUE).lower() != CONTINUE:
        raise errors.ExpectationFailed
    try:
        return await handler(request)
    except errors.Refusal as refusal:
        _log_reason(request, refusal)
        raise


def _log_reason(request: web.Request, refusal: errors.Refusal) -> None:
    """Log why the storage refuses a request that has been given its answer already, as a creation gives one."""
    fault = refusal if isinstance(refusal, errors.StorageFull) else refusal.__cause__
    asked_for = isinstance(refusal, errors.NotFound | errors.Locked | errors.Crowded)
    if isinstance(fault, StorageError | errors.StorageFull) and not asked_for:
        log.warning("%s %s: %s", request.method, ascii(request.rel_url.raw_path[:16]), fault)


def mark_answer(response: web.StreamResponse) -> None:
    """Name the protocol version in an answer, and no version of the software."""
    response.headers["Tus-Resumable"] = VERSION
    response.headers["Server"] = "onward"


async def mark(_: web.Request, response: web.StreamResponse) -> None:
    """Do so in every answer of an application."""
    mark_answer(response)


@web.middleware
async def answering(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every refusal, and every fault as one; log the request."""
    began, sound = time.monotonic(), False
    path = ascii(request.rel_url.raw_path[:16])
    try:
        _check_message(request)
        sound = True
        response = await _handle(request, handler)
    except errors.Refusal as refusal:
        response = problem(refusal)
    except StorageError as fault:
        log.warning("%s %s: %s", request.method, path, fault)
        response = problem(refusal_of(fault))
    except web.HTTPException as error:
        response = problem(_refused_by_aiohttp(error))
    except ConnectionError:  # the client is gone: aiohttp takes note
        raise
    except Exception:
        log.exception("%s %s failed", request.method, path)
        response = problem(errors.ServerFault())
    if not response.prepared and not (sound and (request.content.is_eof() or not request.body_exists)):
        response.force_close()  # what follows on the connection may be no request
    log.info("%s %s %d %.0f ms", request.method, path, response.status, (time.monotonic() - began) * 1e3)
    return response
