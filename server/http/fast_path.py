"""What `fast_heads.py` and `fast_bodies.py` share: they read and answer requests without those of aiohttp.

Nothing is decided here that is not decided on the slow path too, and by the same functions: the dialect reads the
headers and writes the reply, `request_head.py` refuses odd messages, `problems.py` and `cors.py` give the headers that
every reply has, and `request_log.py` writes the line.
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

from onward.protocol.dialects import Dialect, Headers, Reply, named
from onward.protocol.headers import build_http_date
from onward.protocol.model import ID_PATTERN, UploadId
from onward.server.http import request_log
from onward.server.http.app_keys import CONFIG, ENGINE
from onward.server.http.cors import SHARED_HEADERS
from onward.server.http.problems import log, marks
from onward.server.http.proxies import client_of
from onward.server.http.request_head import check_message, offers, read_headers
from onward.server.http.request_log import CURRENT, HEADER, LEFT, fields_of, line_of, request_id

# Headers of requests that want another protocol, or were passed on in a way that takes longer to read.
UNUSUAL = frozenset({"expect", "forwarded", "transfer-encoding", "upgrade"})
PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Peer(NamedTuple):
    """What `proxies.py` looks at; a request with `Forwarded`, or with TLS and a body, is never read here."""

    remote: str
    headers: MultiMapping[str]
    raw_path: str
    host: str
    forwarded: tuple[Mapping[str, str], ...] = ()
    scheme: str = "http"


class PlainRequest(NamedTuple):
    """A plain request."""

    method: str
    id: UploadId | None  # None for a creation
    dialect: Dialect
    lower: Headers  # as the dialect reads them
    peer: Peer
    client: str
    request_id: str
    began: float  # monotonic


class FastPath:
    """Reads and answers plain requests for one started application."""

    def __init__(self, app: web.Application) -> None:
        config = app[CONFIG]
        self.engine, self._shared = app[ENGINE], app[SHARED_HEADERS]
        self._trusted, self._family = config.trusted_proxies, config.proxy_headers
        self._base = f"{config.prefix}/"
        self._path = re.compile(re.escape(self._base) + ID_PATTERN, re.ASCII)
        self._second, self._date = 0, ""

    def read(self, message: RawRequestMessage, remote: str) -> PlainRequest | None:
        """Read a request, or return None if it isn't a plain one; raises Refusal.

        A POST is one for the collection of uploads, everything else is about one upload. `remote` is the address of the
        client.
        """
        began, headers, path, method = time.monotonic(), message.headers, message.path, message.method
        if message.should_close or message.version != HttpVersion11:
            return None
        creates = method == "POST"
        if path != self._base[:-1] if creates else not self._path.fullmatch(path):
            return None
        if (dialect := named(method, headers)) is None:
            return None
        check_message(headers, message.version)
        lower = read_headers(headers, dialect)
        if not UNUSUAL.isdisjoint(lower) or dialect.find_method(method, headers) != method:
            return None
        if not offers(dialect, method, self.engine.limits):
            return None
        peer = Peer(remote, headers, path, headers.get("Host", ""))
        client = client_of(peer, self._trusted, self._family)
        id_ = None if creates else UploadId(path[len(self._base) :])
        return PlainRequest(method, id_, dialect, lower, peer, client, request_id(headers), began)

    def write(self, asked: PlainRequest, reply: Reply, further: Headers, stored: int | None = None) -> bytes | None:
        """Write the answer, count it and log it; None if a header is not one line.

        `further` are the headers that aiohttp would add. `stored` is how many bytes the request has stored.
        """
        headers = {**reply.headers, **further, "Date": self._now(), **marks(asked.dialect), HEADER: asked.request_id}
        if self._shared is not None:
            headers |= self._shared(asked.method, asked.peer.headers)
        lines = [f"{name}: {value}" for name, value in headers.items()]
        text = "\r\n".join((f"HTTP/1.1 {reply.status} {PHRASES[reply.status]}", *lines, "\r\n"))
        if text.count("\n") != len(lines) + 2 or text.count("\r") != len(lines) + 2:
            return None
        answer = text.encode()
        self._note(asked, reply, stored)
        return answer

    def note_lost(self, asked: PlainRequest) -> None:
        """Count and log a request whose client has left before there was an answer."""
        self._note(asked, Reply(status=LEFT, headers={}), None)

    def _note(self, asked: PlainRequest, reply: Reply, stored: int | None) -> None:
        """Count and log a request, as `request_log.note_answer` does."""
        seconds = time.monotonic() - asked.began
        timed = None if reply.status == LEFT else seconds
        self.engine.records.measures.note_request(asked.method, reply.status, timed)
        if not log.isEnabledFor(logging.INFO):
            return
        fields = partial(self._fields, asked, reply, stored, seconds)
        CURRENT.set(asked.request_id)
        line = line_of(asked.method, asked.peer.raw_path, reply.status, seconds, f"{asked.client} {asked.request_id}")
        request_log.write_line(logging.INFO, line, fields)
        CURRENT.set(None)

    def _fields(self, asked: PlainRequest, reply: Reply, stored: int | None, seconds: float) -> Mapping[str, object]:
        """Return what a program wants to know about a request, for the log."""
        route = self._base[:-1] if asked.id is None else f"{self._base}{{id}}"
        id_ = asked.id or reply.headers.get("Location", "").rpartition("/")[2] or None
        return fields_of(
            client=asked.client, method=asked.method, route=route, status=reply.status, seconds=seconds,
            uploadId=id_, bytes=stored,
        )  # fmt: skip

    def _now(self) -> str:
        """Return the value of Date; it is written once a second."""
        second = int(time.time())
        if second != self._second:
            self._second, self._date = second, build_http_date(second)
        return self._date
