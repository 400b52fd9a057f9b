"""The line about each request in the log, its id, and its place in the metrics.

A client, or a proxy, may name a request by `X-Request-ID`; otherwise an id is made. The answer has it, and so has
every line that is logged because of the request, with `--log-format json` (server/log.py).
"""

import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from itertools import count

from aiohttp import web
from multidict import MultiMapping

from onward.server.http.app_keys import CONFIG, ENGINE
from onward.server.http.proxies import client_of

HEADER = "X-Request-ID"
PROBES = ("/healthz", "/readyz", "/metrics")  # machines ask for them every few seconds; they are logged at level DEBUG
CURRENT: ContextVar[str | None] = ContextVar("request_id", default=None)
ID: web.RequestKey[str] = web.RequestKey("id", str)
BEGAN: web.RequestKey[float] = web.RequestKey("began", float)  # monotonic
LEFT = 499  # the status of a request whose client has left before it had its answer; nginx has made it known
OWNER: web.RequestKey[str] = web.RequestKey("owner", str)  # of the token, or of the grant of the application
REASON: web.RequestKey[str] = web.RequestKey("reason", str)  # the code of a refusal
_SANE = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}", re.ASCII)
_START, _NUMBERS = secrets.token_hex(6), count(1)  # ids of one process differ by their number
log = logging.getLogger("onward")
Fields = Mapping[str, object] | Callable[[], Mapping[str, object]]  # what a program wants to know beside the message


def write_line(level: int, message: str, fields: Fields) -> None:
    """Log the line about a request. The server's own log has something faster in this place (server/log.py)."""
    log.log(level, "%s", message, extra={"fields": fields})


def request_id(headers: MultiMapping[str]) -> str:
    """Return the id that a request brings in its headers, if that is short and plain; otherwise a new one."""
    brought = headers.get(HEADER)
    return brought if brought is not None and _SANE.fullmatch(brought) else f"{_START}-{next(_NUMBERS):x}"


def note_answer(request: web.Request, response: web.StreamResponse) -> None:
    """Count a request, and log it; the status of `response` is LEFT if there was nobody to answer any more."""
    seconds = time.monotonic() - request[BEGAN]
    status = response.status
    method, app = request.method, request.app
    watches = status == 101 or (status == 200 and method == "GET" and response.content_type == "text/event-stream")
    app[ENGINE].records.measures.note_request(method, status, None if watches or status == LEFT else seconds)
    raw_path = request.rel_url.raw_path
    level = logging.DEBUG if raw_path.endswith(PROBES) else logging.INFO
    if log.isEnabledFor(level):
        config = app[CONFIG]
        client = client_of(request, config.trusted_proxies, config.proxy_headers)
        fields = partial(_fields, request, response, client, seconds)
        write_line(level, line_of(method, raw_path, status, seconds, f"{client} {request[ID]}"), fields)


def line_of(method: str, raw_path: str, status: int, seconds: float, by: str) -> str:
    """Return the line about a request `by` a client. It has only the beginning of the path, and so no whole id."""
    return f"{method} {raw_path[:16]!a} {status} {seconds * 1e3:.0f} ms {by}"


def _fields(request: web.Request, response: web.StreamResponse, client: str, seconds: float) -> Mapping[str, object]:
    """Return what a program wants to know about a request."""
    resource = request.match_info.route.resource
    location = response.headers.get("Location", "")
    upload = request.match_info.get("id") or (location.rpartition("/")[2] if response.status == 201 else None)
    return fields_of(
        client=client,
        method=request.method,
        route=resource.canonical if resource is not None else None,
        status=response.status,
        seconds=seconds,
        uploadId=upload,
        owner=request.get(OWNER),
        bytes=_bytes(request, response),
        reason=request.get(REASON),
    )


def fields_of(
    *, client: str, method: str, route: str | None, status: int, seconds: float, **more: str | int | None
) -> Mapping[str, object]:
    """Return the fields of the line about a request, without those that are None.

    Queries, which may have tokens, are not in it.
    """
    fields = {
        "client": client, "method": method, "route": route, "status": status, "durationMs": round(seconds * 1e3, 1),
    }  # fmt: skip
    return {name: value for name, value in (fields | more).items() if value is not None}


def _bytes(request: web.Request, response: web.StreamResponse) -> int | None:
    """Return how many bytes of an upload were stored or, by GET, sent; None if the answer does not tell."""
    headers = response.headers
    if request.method in ("GET", "HEAD"):
        return response.body_length if request.method == "GET" else None
    if request.method == "PUT" and response.status == 201:
        return request.content_length
    try:
        return int(headers["Upload-Offset"]) - int(request.headers.get("Upload-Offset", "0"))
    except (KeyError, ValueError):
        return None
