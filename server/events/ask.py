"""Asking the application (`--ask`): before an upload is created, and before a file is published.

A question is a signed POST, like a webhook, and the reply is waited for:

    2xx                  allowed; the JSON of the reply may say more (`_Allowed`)
    4xx                  refused; status, title and detail of its problem document (RFC 9457) reach the client
    anything else,       neither: the client is answered 503 with Retry-After, and an upload that is to be published
    or no reply          is held, and asked about again later

Each question has a connection of its own, so there is nothing to open and close with the server.
"""

import secrets
import time
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct
from msgspec.structs import replace
from multidict import MultiMapping
from yarl import URL

from onward.protocol.errors import BadRequest, Denied, Unavailable
from onward.protocol.events import build_creation_question, build_publishing_question
from onward.protocol.grants import Grant
from onward.protocol.headers import build_metadata, parse_base64, parse_metadata
from onward.protocol.model import CreateRequest, Upload
from onward.server.events.signature import Signer
from onward.server.events.webhook import why
from onward.server.uploads.checks import Content, Later, Rejected
from onward.server.uploads.checks.types import detect
from onward.storage.failure_log import Reports

RETRY_AFTER = 5  # seconds until a client, or the sweep, is to try again
MOST_REPLY = 2**16  # bytes
MOST_TITLE, MOST_DETAIL = 200, 1000  # characters of a refusal that reach the client
PASSED_ON = ("WWW-Authenticate", "Retry-After")  # headers of a refusal that reach the client
TITLE = "The application refuses the upload"


class Refused(Denied):
    """The application refuses a creation, with a status of its own."""

    code, title = "refused", TITLE

    def __init__(self, status: int, title: str, detail: str, headers: Mapping[str, str]) -> None:
        super().__init__(detail, headers=headers)
        self.status, self.title = status, title


class _Base64(Struct, frozen=True):
    base64: str


class _Allowed(Struct, frozen=True):
    """What the reply to a creation may say."""

    owner: str | None = None
    metadata: dict[str, str | _Base64] | None = None
    maxSize: int | None = None  # noqa: N815 - the names of JSON
    expireAfter: float | None = None  # noqa: N815


class _Problem(Struct, frozen=True):
    """What is read of a refusal."""

    title: str = TITLE
    detail: str = ""


class _Unclear(Exception):
    """The application has neither allowed nor refused; says why."""


class Ask:
    """The application that is asked; `headers` are the names of the headers that are passed on."""

    def __init__(
        self,
        url: str,
        signer: Signer,
        *,
        within: float,
        headers: Collection[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url, self._signer, self._within = URL(url), signer, within
        self._headers, self._clock = tuple(name.lower() for name in headers), clock
        self._reports = Reports(f"the application at {self._url.host_port_subcomponent}")

    async def creation(self, creation: CreateRequest, client: str | None, headers: MultiMapping[str]) -> Grant:
        """Ask whether an upload may be created. Raises Refused or Unavailable."""
        now = self._clock()
        passed = {name: _text(", ".join(headers.getall(name))) for name in self._headers if name in headers}
        body = build_creation_question(creation, now, client, passed)
        try:
            status, reply, answered = await self._post(secrets.token_hex(16), body, now)
            if status >= 400:
                problem = _problem(reply)
                raise Refused(status, problem.title, problem.detail, answered)
            return _grant(reply)
        except _Unclear as fault:
            self._reports.failed(fault)
            raise Unavailable("The application can't be asked at the moment.", retry_after=RETRY_AFTER) from fault

    async def publishing(self, upload: Upload, content: Content) -> None:
        """Ask whether a file may be published; a check. Raises Rejected or Later."""
        now = self._clock()
        content_type = content.content_type or detect(await content.head())
        body = build_publishing_question(replace(upload, content_type=content_type), now)
        try:
            status, reply, _ = await self._post(f"{upload.id}_publish", body, now)
        except _Unclear as fault:
            self._reports.failed(fault)
            raise Later(RETRY_AFTER, str(fault)) from fault
        if status >= 400:
            problem = _problem(reply)
            raise Rejected("rejected", HTTPStatus.UNPROCESSABLE_ENTITY, problem.title, problem.detail)

    async def _post(self, id: str, body: bytes, now: float) -> tuple[int, bytes, dict[str, str]]:
        """Send a question; returns a status of 2xx or 4xx, the reply, and headers for the client. Raises _Unclear."""
        headers = {"Content-Type": "application/json", "User-Agent": "onward", **self._signer.sign(id, now, body)}
        timeout = aiohttp.ClientTimeout(total=self._within)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self._url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                status = response.status
                reply = await response.content.read(MOST_REPLY) if response.content_length != 0 else b""
                while len(reply) < MOST_REPLY and (more := await response.content.read(MOST_REPLY - len(reply))):
                    reply += more
                answered = _passed_on(response.headers)
        except TimeoutError:
            raise _Unclear(f"no reply within {self._within:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            raise _Unclear(why(fault)) from None
        if not (200 <= status < 300 or 400 <= status < 500):
            raise _Unclear(f"status {status}")
        self._reports.succeeded()
        return status, reply, answered


def _text(value: str) -> str:
    """Return a header as text; what is not UTF-8 in it is read as Latin-1, as HTTP has always had it."""
    raw = value.encode(errors="surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _passed_on(headers: MultiMapping[str]) -> dict[str, str]:
    """Return the headers of a refusal that reach the client, except those that can't be sent."""
    found = {name: ", ".join(headers.getall(name)) for name in PASSED_ON if name in headers}
    return {name: value for name, value in found.items() if value.isprintable()}


def _problem(reply: bytes) -> _Problem:
    """Read a problem document; whatever else a refusal has is not passed on."""
    try:
        problem = msgspec.json.decode(reply, type=_Problem)
    except msgspec.MsgspecError:
        return _Problem()
    return _Problem(problem.title[:MOST_TITLE] or TITLE, problem.detail[:MOST_DETAIL])


def _grant(reply: bytes) -> Grant:
    """Read what a reply allows; an empty one allows all that was asked for. Raises _Unclear for nonsense."""
    if not reply.strip():
        return Grant()
    try:
        allowed = msgspec.json.decode(reply, type=_Allowed)
        metadata = None if allowed.metadata is None else {key: _bytes(value) for key, value in allowed.metadata.items()}
        parse_metadata(build_metadata(metadata or {}))
        if (allowed.maxSize or 0) < 0 or (allowed.expireAfter or 0) < 0:
            raise ValueError("maxSize and expireAfter must not be below 0")
        return Grant(max_size=allowed.maxSize, owner=allowed.owner, metadata=metadata, expire_after=allowed.expireAfter)
    except (BadRequest, ValueError) as fault:  # errors of msgspec are ValueErrors
        raise _Unclear(f"its reply can't be used: {fault}") from fault


def _bytes(value: Any) -> bytes:
    return parse_base64("A value of metadata", value.base64) if isinstance(value, _Base64) else value.encode()
