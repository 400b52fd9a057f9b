"""The progress routes: one upload or several, as one JSON document, over a WebSocket, or as Server-Sent Events.

A stream ends with the final status of the last upload. `server/app.py` adds the routes; `server/lifespan.py` makes the
`Broadcast` when the application starts.
"""

import asyncio
from collections.abc import Callable, Mapping
from itertools import chain

from aiohttp import web

from onward.protocol.errors import BadRequest, NotFound
from onward.protocol.grants import Act
from onward.protocol.headers import matches_etag, parse_upload_ids
from onward.protocol.model import UploadId
from onward.protocol.progress import Progress, progress
from onward.server.http.access import check_access, check_token, seconds_left
from onward.server.http.app_keys import CONFIG, ENGINE, UPLOAD, named_dialect, upload_id
from onward.server.http.origin import check_origin, check_sole_origin
from onward.server.http.routes import discover
from onward.server.watch.broadcast import Broadcast
from onward.server.watch.sse import last_known, send_events, wants_events
from onward.server.watch.subscriber import NOTHING, Subscriber
from onward.server.watch.websocket import send_frames
from onward.storage.base import Missing

BROADCAST: web.AppKey[Broadcast] = web.AppKey("broadcast", Broadcast)
MANY = "/progress"
MOST = 100  # uploads that one request may watch


async def watch(request: web.Request) -> web.StreamResponse:
    """GET /files/{id}/progress: a WebSocket or Server-Sent Events where asked for, one JSON object otherwise."""
    await check_token(request, Act.WATCH)
    return await _watched(request, [upload_id(request)], _one)


async def watch_many(request: web.Request) -> web.StreamResponse:
    """GET /progress?id=…&id=…: the same for several uploads; the JSON is an array."""
    await check_token(request, Act.WATCH)
    return await _watched(request, parse_upload_ids(request.query.getall("id", []), MOST), _array)


def _one(messages: list[Progress]) -> str:
    return messages[0].json


def _array(messages: list[Progress]) -> str:
    return f"[{', '.join(message.json for message in messages)}]"


async def _watched(
    request: web.Request, ids: list[UploadId], serialize: Callable[[list[Progress]], str]
) -> web.StreamResponse:
    socket = request.headers.get("Upgrade", "").lower() == "websocket"
    check_sole_origin(request)
    if socket:
        check_origin(request)
        if not request.headers.get("Sec-WebSocket-Key", "").isascii():
            raise BadRequest("Sec-WebSocket-Key must be ASCII.")
    grants = tuple(chain.from_iterable([await check_access(request, Act.WATCH, id_) for id_ in ids]))
    if not socket and not wants_events(request):
        return _document(request, await _snapshots(request, ids), serialize)
    await _snapshots(request, ids)
    transport, known = request.transport, dict.fromkeys(ids, NOTHING) if socket else last_known(request, ids)
    if transport is None:
        raise ConnectionResetError
    with request.app[BROADCAST].joined(transport, request.remote or "", ids) as watcher:
        await _greet(request, watcher, known)
        watcher.leave_after(seconds_left(request, grants))
        return await (send_frames if socket else send_events)(request, watcher)


async def _greet(request: web.Request, watcher: Subscriber, known: Mapping[UploadId, int]) -> None:
    """Send the state at the beginning, read after the subscription is confirmed, so that nothing newer is missed."""
    await request.app[BROADCAST].ready(watcher)
    for message in await _snapshots(request, list(known)):
        watcher.greet(message, known[message.id])


async def _snapshots(request: web.Request, ids: list[UploadId]) -> list[Progress]:
    """Return the recorded state of each upload; raises NotFound, which names the unknown ones."""
    engine = request.app[ENGINE]
    state = engine.records.storage.state
    found = await asyncio.gather(*(state.load(id_) for id_ in ids), return_exceptions=True)
    if unknown := [id_ for id_, upload in zip(ids, found, strict=True) if isinstance(upload, Missing)]:
        raise NotFound(f"There is no upload {', '.join(unknown)}.")
    messages = []
    for upload in found:
        if isinstance(upload, BaseException):
            raise upload
        messages.append(progress(upload, engine.arrived(upload.id)))
    return messages


def _document(
    request: web.Request, messages: list[Progress], serialize: Callable[[list[Progress]], str]
) -> web.Response:
    """Answer with messages as JSON; the ETag is made of their `seq`, and of what arrives at the moment."""
    etag = f'"{"-".join(_tag(request, message) for message in messages)}"'
    headers = {"Cache-Control": "private, no-cache", "ETag": etag}
    if matches_etag(request.headers.get("If-None-Match", ""), etag):
        return web.Response(status=304, headers=headers)
    return web.Response(text=serialize(messages), content_type="application/json", headers=headers)


def _tag(request: web.Request, message: Progress) -> str:
    arriving = request.app[ENGINE].arrived(message.id)
    return f"{message.seq}.{message.received}" if arriving else str(message.seq)


async def _discover(request: web.Request) -> web.Response:
    return await discover(request, named_dialect(request))


def add_watching(app: web.Application) -> None:
    """Add the progress routes."""
    for path, handler in ((app[CONFIG].prefix + UPLOAD + "/progress", watch), (MANY, watch_many)):
        app.router.add_get(path, handler, allow_head=False)
        app.router.add_options(path, _discover)
