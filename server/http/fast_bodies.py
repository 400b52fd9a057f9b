"""Creations and PATCHes whose whole body has arrived with the head: their work is done without a request of aiohttp.

Most files are small, and their clients send the head and the body in one piece. What aiohttp does for a request (a
request, a task, a router, a middleware, a response) takes longer than to store such a file. So the connection shows
each of these requests to `FastBodies` as soon as it is parsed. A plain one is done by one task, and answered by
one write:

    aiohttp's parser ── connection.py ──┬── `read`: is it the plain case?  no: task, request, middleware, routes
                                        └── `do`: create_once, engine.fill or engine.append; the dialect's reply
                                             └── refused, or a fault: routes again (completed_steps.py)

Whatever is not plain is left to the slow path before anything is done. What is refused later is answered there too; the
results of the steps go with it, so that nothing is done twice. The functions are those that `routes.py` calls.
"""

from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.http import RawRequestMessage

from onward.protocol.creation_keys import HEADER
from onward.protocol.dialects import Reply, Request
from onward.protocol.errors import Refusal
from onward.protocol.model import AppendRequest, CreateRequest, UploadId
from onward.server.http.access import ASK_CREATION, OWNERS
from onward.server.http.app_keys import CONFIG
from onward.server.http.completed_steps import CompletedSteps
from onward.server.http.fast_path import FastPath, PlainRequest
from onward.server.http.problems import log
from onward.server.http.proxies import public_origin, url_of
from onward.server.http.request_log import CURRENT
from onward.server.uploads.create_once import create_once
from onward.server.uploads.short_uploads import MemoryBody
from onward.storage.base import SHORT

# Headers of creations that need more than what is done here.
SPECIAL = frozenset({HEADER.lower(), "upload-concat"})
EMPTY = {"Content-Length": "0"}  # what aiohttp adds, but not to 204


class Work(NamedTuple):
    """What a plain request asks for; one of `creates` and `appends` is None."""

    asked: PlainRequest
    size: int
    creates: CreateRequest | None
    appends: AppendRequest | None


class FastBodies:
    """Does the work of short creations and PATCHes for one started application."""

    def __init__(self, app: web.Application, way: FastPath) -> None:
        config = app[CONFIG]
        self._way, self._engine, self._owners = way, way.engine, app[OWNERS]
        self._may_create = app[ASK_CREATION] is None
        self._most = min(SHORT, config.max_request or SHORT)
        self._prefix, self._public = config.prefix, (config.trusted_proxies, config.proxy_headers, config.public_base)

    def read(self, message: RawRequestMessage, remote: str) -> Work | None:
        """Read a POST or a PATCH whose body is there; None if it has to take the slow path. Nothing is done yet."""
        if message.method not in ("POST", "PATCH"):
            return None
        try:
            return self._read(message, remote)
        except Refusal:
            return None
        except Exception as fault:  # the slow path meets the same fault and answers it
            log.error("%s is answered on the slow path after a fault", message.method, exc_info=fault)
            return None

    def _read(self, message: RawRequestMessage, remote: str) -> Work | None:
        asked = self._way.read(message, remote)
        if asked is None or asked.dialect.build_interim is not None:
            return None
        size, limits = int(asked.lower.get("content-length", "0")), self._engine.limits
        if size > self._most:
            return None
        request = Request(headers=asked.lower, body_size=size, has_body=size > 0)
        if asked.id is not None:
            return Work(asked, size, None, asked.dialect.read_append(request, limits)) if size else None
        if not self._may_create or not SPECIAL.isdisjoint(asked.lower):
            return None
        creates = asked.dialect.read_create(request, limits)
        if creates.has_body != (size > 0) or (not size and creates.length == 0):
            return None
        return Work(asked, size, creates, None)

    async def do(self, work: Work, data: bytes) -> bytes | CompletedSteps:
        """Do the work, and return the whole answer; or what was done, if the slow path has to answer.

        An answer is counted and logged before it is returned.
        """
        asked = work.asked
        CURRENT.set(asked.request_id)
        steps: list[Any] = []
        try:
            if work.creates is not None:
                reply = await self._create(work.creates, asked, data, steps)
            else:
                assert work.appends is not None  # noqa: S101
                assert asked.id is not None  # noqa: S101
                reply = await self._append(asked.id, work.appends, asked, data, steps)
        except Exception as fault:
            steps.append(fault)
            return CompletedSteps(asked.request_id, asked.began, steps)
        try:
            stored = int(reply.headers["Upload-Offset"]) - (work.appends.offset if work.appends else 0)
            answer = self._way.write(asked, reply, {} if reply.status == 204 else EMPTY, stored)
        except Exception as fault:  # what was stored has to be answered nevertheless
            log.error("%s is answered on the slow path after a fault", asked.method, exc_info=fault)
            answer = None
        return CompletedSteps(asked.request_id, asked.began, steps) if answer is None else answer

    async def _create(self, request: CreateRequest, asked: PlainRequest, data: bytes, steps: list[Any]) -> Reply:
        engine, limits = self._engine, self._engine.limits
        whole = data if len(data) <= engine.short.most else b""
        created = await create_once(engine, request, limits=limits, resumable=not request.completes, whole=whole)
        steps.append(created)
        upload = created.upload
        self._owners.remember(upload)
        if created.new:
            upload = await engine.fill(upload, request, MemoryBody(data), limits=limits)
            steps.append(upload)
        location = url_of(public_origin(asked.peer, *self._public), f"{self._prefix}/{upload.id}")
        return asked.dialect.build_created(upload, location, limits, engine.records.clock())

    async def _append(
        self, id: UploadId, request: AppendRequest, asked: PlainRequest, data: bytes, steps: list[Any]
    ) -> Reply:
        engine = self._engine
        upload = await engine.append(id, request, MemoryBody(data), limits=engine.limits)
        steps.append(upload)
        return asked.dialect.build_appended(upload, engine.limits, engine.records.clock())
