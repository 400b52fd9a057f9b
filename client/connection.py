"""The requests of tus 1.0.0, or of the IETF draft (protocols.py), to one server, one method each.

A request either returns what the server has stated, or raises Interrupted, UploadMissing or Refused. It is never
repeated here: that is the work of `transfer.py`, the only caller beside the command's batch.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
from yarl import URL

from onward.client.answers import GONE, judge, judge_outcome, parse_length, parse_most, parse_offset, parse_sha256
from onward.client.environment import names_proxy_or_login
from onward.client.errors import Interrupted, Refused, Unreached, UploadMissing
from onward.client.model import Options
from onward.client.origin_headers import adding_headers
from onward.client.pace import Pace
from onward.client.protocols import PROTOCOLS
from onward.client.request_body import RequestBody
from onward.client.retry import Reach
from onward.client.transport_errors import CONNECT_WAIT, translated
from onward.client.trust import trusting
from onward.client.urls import parse_target, parse_url, without_secrets

ANSWER_WAIT = 30.0  # seconds until a request without a body must have been answered
JOIN_WAIT = 3600.0  # seconds that concatenating parts may take; asking again would start it from the beginning
UNSENT = 2**17  # bytes that may wait in the kernel: they count as sent, but a lost connection loses them
LONGEST_REASON = 2**13  # bytes of a refusal's body that are read
AGENT = "onward"
WHOLE = "creation-with-upload"
CREATION_KEYS = "Upload-Idempotency"  # a server that heeds Idempotency-Key states this
SLOWEST = 2**10  # bytes a second; a server ends requests that are slower

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stored:
    """What the server has stated about an upload."""

    offset: int  # the bytes that it has stored
    sha256: bytes | None = None  # of the whole upload, if the server computes it
    length: int | None = None
    finished: bool | None = None  # None where the offset alone says that


@dataclass(frozen=True, slots=True)
class Created:
    """A new upload."""

    url: str
    sha256: bytes | None  # stated at once only for an upload that is complete already
    offset: int | None = None  # what the server has stored of the body of the creation


class Connection:
    """Sends requests to the server behind one target URL."""

    def __init__(self, session: aiohttp.ClientSession, target: str, options: Options, reach: Reach) -> None:
        self._session, self._options, self._reach = session, options, reach
        self.target, self.protocol = target, PROTOCOLS[options.protocol]
        self.pace = Pace(options.limit_rate)
        self.most: int | None = None  # bytes that the server takes in one request, once it has stated that

    async def takes_uploads(self, url: str) -> bool:
        """Ask whether a URL takes uploads."""
        _, headers = await self._request("OPTIONS", url, {})
        return self.protocol.offered(headers)

    async def extensions(self) -> frozenset[str]:
        """Ask which extensions of tus the server offers."""
        _, headers = await self._request("OPTIONS", self.target, {})
        return _extensions(headers)

    async def create(self, headers: Headers, *, wait: float = ANSWER_WAIT, data: bytes | None = None) -> Created:
        """Create an upload, perhaps with its first bytes."""
        asked, answer = await self._request("POST", self.target, headers, wait=wait, data=data)
        location = answer.get("Location")
        url = asked.join(parse_url(location)) if location else None
        if url is None or url.scheme not in ("http", "https") or not url.host:
            raise Refused(f"{self.target} creates no upload: the answer names no Location")
        return Created(str(url), parse_sha256(answer), parse_offset(answer))

    async def takes_whole(self, size: int) -> bool:
        """Ask whether uploads of this size may be created with all their bytes, and such a request be repeated."""
        _, headers = await self._request("OPTIONS", self.target, {})
        return WHOLE in _extensions(headers) and CREATION_KEYS in headers and (self.most is None or self.most >= size)

    async def create_whole(self, data: bytes, headers: Headers) -> Created:
        """Create an upload with all its bytes. The same headers with an Idempotency-Key find it again."""
        await self.pace.take(len(data))
        wait = max(ANSWER_WAIT, self._options.stall_after) + len(data) / SLOWEST
        return await self.create({**self.protocol.append(True), **headers}, wait=wait, data=data)

    async def stored(self, url: str, length: int | None) -> Stored:
        """Ask what the server has of an upload; raises UploadMissing for one of another length."""
        _, answer = await self._request("HEAD", url, {})
        offset = parse_offset(answer)
        if offset is None:
            raise Refused(f"{url} is not an upload: the answer has no Upload-Offset")
        stated_length = parse_length(answer)
        if length is not None and (stated_length not in (None, length) or offset > length):
            raise UploadMissing("the server has an upload of another length there")
        return Stored(offset, parse_sha256(answer), stated_length, self.protocol.finished(answer))

    async def append(self, url: str, offset: int, body: RequestBody, headers: Headers, *, ends: bool) -> Stored:
        """Append a body at an offset, which `ends` the upload or does not.

        Raises the UploadError of a file that can't be read as well.
        """
        append_headers = {
            "Upload-Offset": str(offset),
            "Content-Length": str(body.size),
            **self.protocol.append(ends),
            **headers,
        }
        try:
            _, answer = await self._request("PATCH", url, append_headers, body=body)
        except Interrupted:
            if body.fault is not None:
                raise body.fault from None
            raise
        stored = parse_offset(answer)
        if stored is None:
            raise Interrupted("the answer has no Upload-Offset")
        return Stored(stored, parse_sha256(answer), finished=self.protocol.finished(answer))

    async def _request(
        self,
        method: str,
        url: str,
        headers: Headers,
        *,
        wait: float = ANSWER_WAIT,
        body: RequestBody | None = None,
        data: bytes | None = None,
    ) -> tuple[URL, Headers]:
        """Send a request; returns the URL and the headers of a success."""
        place, own_headers = URL(url), {**self.protocol.marks, **headers}
        try:
            with translated(place):
                async with asyncio.timeout(wait) as limit:
                    sent = body.pieces(limit) if body is not None else data
                    async with self._session.request(
                        method,
                        place,
                        headers=own_headers,
                        data=sent,
                        allow_redirects=False,
                        middlewares=self._user_headers(own_headers),
                    ) as answer:
                        self._reach.made = True
                        self.most = parse_most(answer.headers) or self.most
                        reason = b"" if answer.ok else await answer.content.read(LONGEST_REASON)
        except Unreached as fault:
            if self._reach.made:
                raise Interrupted(str(fault)) from fault
            raise
        finally:
            if body is not None:
                body.release()
        try:
            judge(answer.status, answer.headers, reason, f"{method} {without_secrets(place)}")
        except UploadMissing:
            if answer.status == GONE:
                await self._check_outcome(place)
            raise
        return answer.url, answer.headers

    def _user_headers(self, own: Headers) -> list[aiohttp.ClientMiddlewareType]:
        """Return what adds the user's headers to a request that has headers of its own."""
        users = self._options.own_headers
        return [adding_headers(users, URL(self.target), own)] if users else []

    async def _check_outcome(self, place: URL) -> None:
        """Raise Rejected if the server says why it has refused an upload; the first answer to that may be lost."""
        progress, accept = place / "progress", {"Accept": "application/json"}
        with suppress(Interrupted), translated(progress):
            async with (
                asyncio.timeout(ANSWER_WAIT),
                self._session.get(
                    progress, headers=accept, allow_redirects=False, middlewares=self._user_headers(accept)
                ) as answer,
            ):
                judge_outcome(await answer.content.read(LONGEST_REASON))


def _extensions(headers: Headers) -> frozenset[str]:
    return frozenset(name.strip() for name in headers.get("Tus-Extension", "").split(",") if name.strip())


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Open a socket that keeps few bytes unsent, so that a stall is noticed and progress is true."""
    made = socket.socket(family=address[0], type=address[1], proto=address[2])
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    return made


@asynccontextmanager
async def connected(target: str, options: Options, reach: Reach) -> AsyncIterator[Connection]:
    """Open a session with a server, which connects with the first request; raises Refused for a wrong target."""
    parse_target(target, "http", "https")
    trusted = trusting(options.cacert, insecure=options.insecure)
    connector = aiohttp.TCPConnector(limit=0, socket_factory=_socket, ssl=trusted)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WAIT)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, trust_env=names_proxy_or_login(), headers={"User-Agent": AGENT}
    ) as session:
        yield Connection(session, target, options, reach)
