"""The requests of tus 1.0.0, one method each; every failure of one is an Interrupted, a Gone or a Refused."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from onward.client.answers import judge, length_of, offset_of, parse_target, parse_url, sha256_of, shown
from onward.client.errors import Gone, Interrupted, Refused, Unreached
from onward.client.model import Options
from onward.client.origin_headers import giving
from onward.client.request_body import Body
from onward.client.retry import Reach
from onward.client.transport_errors import CONNECT_WAIT, translated
from onward.protocol.dialects.tus1 import CONTENT_TYPE, VERSION

ASK_WAIT = 30.0  # seconds that the answer to a question may take
JOIN_WAIT = 3600.0  # seconds that joining parts may take; asking again would begin it anew
UNSENT = 2**17  # bytes that may wait in the kernel: what is counted as sent, but lost by a cut
LONGEST_REASON = 2**13  # bytes read of the body of a refusal
AGENT = "onward"

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stored:
    """What the server has of an upload, with its SHA-256 and its length where it tells them."""

    offset: int
    sha256: bytes | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """A new upload."""

    url: str
    sha256: bytes | None


class Line:
    """Asks the server behind one target URL."""

    def __init__(self, session: aiohttp.ClientSession, target: str, options: Options, reach: Reach) -> None:
        self._session, self._options, self._reach = session, options, reach
        self.target = target

    async def extensions(self, url: str | None = None) -> frozenset[str]:
        """Ask which extensions the server offers, at the target or at another URL."""
        _, headers = await self._ask("OPTIONS", url or self.target, {})
        return frozenset(name.strip() for name in headers.get("Tus-Extension", "").split(",") if name.strip())

    async def create(self, headers: Headers, *, wait: float = ASK_WAIT) -> Created:
        """Create an upload."""
        at, told = await self._ask("POST", self.target, headers, wait=wait)
        location = told.get("Location")
        url = at.join(parse_url(location)) if location else None
        if url is None or url.scheme not in ("http", "https") or not url.host:
            raise Refused(f"{self.target} creates no upload: it names no Location")
        return Created(str(url), sha256_of(told))

    async def stored(self, url: str, length: int | None) -> Stored:
        """Ask what the server has of an upload; one of another length is Gone."""
        _, told = await self._ask("HEAD", url, {})
        offset = offset_of(told)
        if offset is None:
            raise Refused(f"{url} is no upload: the answer has no Upload-Offset")
        known = length_of(told)
        if length is not None and (known not in (None, length) or offset > length):
            raise Gone("the server has an upload of another length there")
        return Stored(offset, sha256_of(told), known)

    async def append(self, url: str, offset: int, body: Body, headers: Headers) -> Stored:
        """Append a body."""
        words = {
            "Upload-Offset": str(offset),
            "Content-Type": CONTENT_TYPE,
            "Content-Length": str(body.size),
            **headers,
        }
        try:
            _, told = await self._ask("PATCH", url, words, body=body)
        except Interrupted:
            if body.fault is not None:
                raise body.fault from None
            raise
        now = offset_of(told)
        if now is None:
            raise Interrupted("the answer has no Upload-Offset")
        return Stored(now, sha256_of(told))

    async def _ask(
        self, method: str, url: str, headers: Headers, *, wait: float = ASK_WAIT, body: Body | None = None
    ) -> tuple[URL, Headers]:
        """Ask, and give the URL and the headers of a success."""
        place, words = URL(url), {"Tus-Resumable": VERSION, **headers}
        given = giving(self._options.headers, URL(self.target), words)
        try:
            with translated(place):
                async with asyncio.timeout(wait) as limit:
                    data = body.pieces(limit) if body is not None else None
                    async with self._session.request(
                        method, place, headers=words, data=data, allow_redirects=False, middlewares=[given]
                    ) as answer:
                        self._reach.made = True
                        reason = b"" if answer.ok else await answer.content.read(LONGEST_REASON)
        except Unreached as fault:
            if self._reach.made:
                raise Interrupted(str(fault)) from fault
            raise
        finally:
            if body is not None:
                body.release()
        judge(answer.status, answer.headers, reason, f"{method} {shown(place)}")
        return answer.url, answer.headers


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Open a socket in which little waits unsent, so that a stall is seen and progress is true."""
    made = socket.socket(family=address[0], type=address[1], proto=address[2])
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    return made


@asynccontextmanager
async def connected(target: str, options: Options, reach: Reach) -> AsyncIterator[Line]:
    """Open a session with a server; no connection yet. Raises Refused where the target is no URL of HTTP."""
    parse_target(target, "http", "https")
    connector = aiohttp.TCPConnector(limit=0, socket_factory=_socket)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WAIT)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, trust_env=True, headers={"User-Agent": AGENT}
    ) as session:
        yield Line(session, target, options, reach)
