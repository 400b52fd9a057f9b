"""CORS: which pages of other origins may use the server from a browser, and what they may read (Fetch, section 3.3).

The headers that a page may send and read come from the dialects, and from HTTP itself. server/app.py adds it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import chain

from aiohttp import web
from multidict import MultiMapping

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
# Called with the method and the headers of a request; returns the headers of CORS that its reply has.
SharedHeaders = Callable[[str, MultiMapping[str]], Mapping[str, str]]
SHARED_HEADERS: web.AppKey[SharedHeaders | None] = web.AppKey("shared_headers")  # None if no other origin may read
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

    def shared(method: str, headers: MultiMapping[str]) -> dict[str, str]:
        added, origin = dict[str, str](), EVERY
        if EVERY not in origins:
            added["Vary"] = "Origin"
            origin = ", ".join(headers.getall("Origin", []))  # several origins are never an allowed one
        if origin not in origins:
            return added
        added["Access-Control-Allow-Origin"] = origin
        added["Access-Control-Expose-Headers"] = EXPOSED
        if credentials:
            added["Access-Control-Allow-Credentials"] = "true"
        if method == "OPTIONS" and "Access-Control-Request-Method" in headers:
            added["Access-Control-Allow-Methods"] = METHODS
            added["Access-Control-Allow-Headers"] = allowed
            added["Access-Control-Max-Age"] = str(REMEMBERED)
        return added

    async def share(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(shared(request.method, request.headers))

    app[SHARED_HEADERS] = shared if origins else None
    if origins:
        app.on_response_prepare.append(share)
