"""Short answers to HEAD /files/{id}, which need no request of aiohttp, no task and no waiting.

A client that resumes asks for the offset first, and some ask all the time. Nearly every answer is in memory. So the
connection (`transport/connection.py`) shows each HEAD to `Heads` as soon as it is parsed, and gets the bytes of the
answer, or None. After None the request goes the usual way, through the routes, as if nothing had happened.

    aiohttp's parser ── connection.py ──┬── heads.py: is it the plain case?  yes: one write
                                        └── no: task, request, middleware, routes, response

A shared state (Redis) has to be asked, so there the answer comes later; the connection is busy until then.

Nothing is decided here that is not decided in the usual way too, and by the same functions: the dialect reads the
headers and writes the reply, `reading.py` refuses odd messages, `problems.py` and `cors.py` give the headers that every
reply has, and `request_log.py` writes the line. Every refusal is left to the usual way, and so is every fault.
"""

import logging
import re
import time
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

from aiohttp import HttpVersion11, web
from aiohttp.http import RawRequestMessage
from multidict import MultiMapping

from onward.protocol.dialects import Dialect, named
from onward.protocol.errors import Refusal
from onward.protocol.headers import build_http_date
from onward.protocol.model import ID_PATTERN, Upload, UploadId
from onward.server.http import request_log
from onward.server.http.access import ACCESS, TOKENS, allow_everything
from onward.server.http.app_keys import CONFIG, ENGINE
from onward.server.http.cors import SHARED_HEADERS
from onward.server.http.problems import log, marks
from onward.server.http.proxies import client_of
from onward.server.http.reading import check_message, offers, read_headers
from onward.server.http.request_log import CURRENT, HEADER, fields_of, line_of, request_id
from onward.server.uploads.glance import glance, glance_at_store
from onward.storage.base import StorageError

HEAD = "HEAD"
# Headers of requests that have a body, want another protocol, or were passed on in a way that takes longer to read.
UNUSUAL = frozenset({"content-length", "expect", "forwarded", "transfer-encoding", "upgrade"})
PHRASES = {status.value: status.phrase for status in HTTPStatus}
BUILT: web.AppKey[tuple[object, ...]] = web.AppKey("built", tuple)  # what `create_app` has added to the application


class _Peer(NamedTuple):
    """What `client_of` looks at; a request with `Forwarded` is never read here."""

    remote: str
    headers: MultiMapping[str]
    forwarded: tuple[Mapping[str, str], ...] = ()


class Asked(NamedTuple):
    """A request for the offset of an upload."""

    id: UploadId
    dialect: Dialect
    headers: MultiMapping[str]
    path: str
    client: str
    request_id: str
    began: float  # monotonic


def parts_of(app: web.Application) -> tuple[object, ...]:
    """Return the parts of an application that see its requests and replies."""
    return (*app.middlewares, *app.on_response_prepare, *app.router.resources())


def heads_of(app: web.Application) -> "Heads | None":
    """Return what answers HEAD for a started application.

    None if a token or the application has to be asked first, or if somebody has added a part to what `create_app` built
    which would not see these requests. An application that mounts the server is not one of `create_app`.
    """
    if app.get(BUILT) != parts_of(app) or app[ACCESS] is not allow_everything or app[TOKENS] is not None:
        return None
    return Heads(app)


class Heads:
    """Answers HEAD for one started application."""

    def __init__(self, app: web.Application) -> None:
        config = app[CONFIG]
        self._engine, self._shared = app[ENGINE], app[SHARED_HEADERS]
        self._trusted, self._family = config.trusted_proxies, config.proxy_headers
        self._base = f"{config.prefix}/"
        self._path = re.compile(re.escape(self._base) + ID_PATTERN, re.ASCII)
        self._route = f"{self._base}{{id}}"
        self._waits = not self._engine.records.storage.state.is_own
        self._second, self._date = 0, ""

    def answer(self, message: RawRequestMessage, peer: str) -> bytes | Asked | None:
        """Return the whole answer to a request without a body, or None; `peer` is the address of the client.

        If the state is shared, a request that may be answered is returned, for `answer_later`. An answer is counted and
        logged before it is returned.
        """
        try:
            if (asked := self._read(message, peer)) is None or self._waits:
                return asked
            upload = glance(self._engine.records, asked.id, finish=asked.dialect.last_byte_finishes)
            return None if upload is None else self._write(asked, upload)
        except Exception as fault:
            return self._leave(fault)

    async def answer_later(self, asked: Asked) -> bytes | None:
        """Return the answer to a request, or None, after the state was asked."""
        try:
            upload = await glance_at_store(self._engine.records, asked.id, finish=asked.dialect.last_byte_finishes)
            return None if upload is None else self._write(asked, upload)
        except Exception as fault:
            return self._leave(fault)

    @staticmethod
    def _leave(fault: Exception) -> None:
        """Leave a request to the usual way, which meets the same fault and answers it; logs what no client causes."""
        if not isinstance(fault, Refusal | StorageError):
            log.error("HEAD is answered in the usual way after a fault", exc_info=fault)

    def _read(self, message: RawRequestMessage, peer: str) -> Asked | None:
        """Read a request, or return None if it isn't a plain one; raises Refusal."""
        began, headers, path = time.monotonic(), message.headers, message.path
        if message.method != HEAD or message.should_close or message.version != HttpVersion11:
            return None
        if not self._path.fullmatch(path) or (dialect := named(HEAD, headers)) is None:
            return None
        check_message(headers, message.version)
        lower = read_headers(headers, dialect)
        if not UNUSUAL.isdisjoint(lower) or dialect.find_method(HEAD, headers) != HEAD:
            return None
        if not offers(dialect, HEAD, self._engine.limits):
            return None
        dialect.check_headers(HEAD, lower)
        client = client_of(_Peer(peer, headers), self._trusted, self._family)
        id_ = UploadId(path[len(self._base) :])
        return Asked(id_, dialect, headers, path, client, request_id(headers), began)

    def _write(self, asked: Asked, upload: Upload) -> bytes | None:
        """Write the answer, count it and log it; None if a header is not one line."""
        reply = asked.dialect.build_inspected(upload, self._engine.limits, self._engine.records.clock())
        headers = {**reply.headers, "Date": self._now(), **marks(asked.dialect), HEADER: asked.request_id}
        if self._shared is not None:
            headers |= self._shared(HEAD, asked.headers)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        text = "\r\n".join((f"HTTP/1.1 {reply.status} {PHRASES[reply.status]}", *lines, "\r\n"))
        if text.count("\n") != len(lines) + 2 or text.count("\r") != len(lines) + 2:
            return None
        answer = text.encode()
        self._note(asked, reply.status)
        return answer

    def _note(self, asked: Asked, status: int) -> None:
        """Count and log an answer, as `request_log.note_answer` does."""
        seconds = time.monotonic() - asked.began
        self._engine.records.measures.note_request(HEAD, status, seconds)
        if not log.isEnabledFor(logging.INFO):
            return
        fields = partial(
            fields_of, client=asked.client, method=HEAD, route=self._route, status=status, seconds=seconds,
            uploadId=asked.id,
        )  # fmt: skip
        CURRENT.set(asked.request_id)
        line = line_of(HEAD, asked.path, status, seconds, f"{asked.client} {asked.request_id}")
        request_log.write_line(logging.INFO, line, fields)
        CURRENT.set(None)

    def _now(self) -> str:
        """Return the value of Date; it is written once a second."""
        second = int(time.time())
        if second != self._second:
            self._second, self._date = second, build_http_date(second)
        return self._date
