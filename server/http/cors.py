"""CORS: which pages of other origins may use the server from a browser, and what they may read (Fetch, section 3.3).

The headers that a page may send and read come from the dialects, and from HTTP itself. server/app.py adds it.
"""

import re
from collections.abc import Iterable
from itertools import chain

from aiohttp import web

from onward.protocol.dialects import DIALECTS

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?", re.ASCII)
EVERY = "*"
METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
SENT = ("Authorization", "Idempotency-Key", "If-None-Match", "If-Range", "Range", "X-Request-ID", "X-Requested-With")
READ = (
    "Accept-Ranges",
    "Allow",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)
REMEMBERED = 7200  # seconds; Chromium keeps the reply to a preflight no longer than this


def parse_origins(words: Iterable[str]) -> frozenset[str]:
    """Read origins, or `*` alone. Raises ValueError."""
    origins = frozenset(word.lower() for word in words)
    if origins != {EVERY} and (wrong := [origin for origin in origins if not ORIGIN.fullmatch(origin)]):
        raise ValueError(f"{min(wrong)!r} is not an origin such as https://app.example:8443, nor * alone")
    return origins


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names), key=str.lower))


ALLOWED = (*SENT, *chain.from_iterable(dialect.cors_requests for dialect in DIALECTS))
EXPOSED = _listed((*READ, *chain.from_iterable(dialect.cors_replies for dialect in DIALECTS)))


def add_cors(app: web.Application, origins: frozenset[str], *, credentials: bool, further: Iterable[str] = ()) -> None:
    """Let pages of these origins read every reply, including refusals, and answer their preflight requests.

    `further` are headers that these pages may send besides those that the server knows.
    """
    allowed = _listed((*ALLOWED, *further))

    async def share(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        origin = EVERY
        if EVERY not in origins:
            headers["Vary"] = "Origin"
            origin = ", ".join(request.headers.getall("Origin", []))  # several origins are never an allowed one
        if origin not in origins:
            return
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = EXPOSED
        if credentials:
            headers["Access-Control-Allow-Credentials"] = "true"
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            headers["Access-Control-Allow-Methods"] = METHODS
            headers["Access-Control-Allow-Headers"] = allowed
            headers["Access-Control-Max-Age"] = str(REMEMBERED)

    if origins:
        app.on_response_prepare.append(share)
