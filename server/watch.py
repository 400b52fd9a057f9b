"""Progress: one JSON object, or a WebSocket or Server-Sent Events that follow an upload to its final status.

Subscribed first, then the snapshot, then only what is newer; one task writes to a watcher, one listens for its end.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import suppress

from aiohttp import WSCloseCode, web

from protocol.errors import BadRequest
from protocol.model import UploadId
from protocol.progress import Progress, progress
from server.events import send_events, wants_events
from server.keys import CONFIG, UPLOAD, upload_id
from server.routes import discover
from storage.base import State

STATE: web.AppKey[State] = web.AppKey("state", State)
STOPPING: web.AppKey[asyncio.Event] = web.AppKey("stopping", asyncio.Event)
HEARTBEAT = 20.0  # seconds
SEND_WAIT = 10.0  # seconds that a watcher may take to accept one message
BUFFER = 16384  # bytes that wait for a slow watcher
LARGEST_FRAME = 1024


async def _follow(state: State, id: UploadId) -> AsyncGenerator[Progress, None]:
    """Give the state on joining, then only newer ones, up to the final one; raises Missing."""
    async with state.subscribe(id) as events:
        last = progress(await state.load(id))
        yield last
        while not last.final:
            event = await anext(events)
            if event.seq > last.seq:
                last = event
                yield last


async def _tell(ws: web.WebSocketResponse, state: State, id: UploadId) -> None:
    async for message in _follow(state, id):
        await asyncio.wait_for(ws.send_str(message.json), SEND_WAIT)


async def _listen(ws: web.WebSocketResponse) -> None:
    async for _ in ws:
        pass


async def _watch(request: web.Request) -> web.StreamResponse:
    state, id_ = request.app[STATE], upload_id(request)
    await state.load(id_)
    ws = web.WebSocketResponse(
        heartbeat=HEARTBEAT, compress=False, max_msg_size=LARGEST_FRAME, writer_limit=BUFFER, timeout=2.0
    )
    await ws.prepare(request)
    transport = request.transport
    if transport is not None and (sock := transport.get_extra_info("socket")) is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    tell = asyncio.create_task(_tell(ws, state, id_))
    listen = asyncio.create_task(_listen(ws))
    stop = asyncio.create_task(request.app[STOPPING].wait())
    try:
        await asyncio.wait({tell, listen, stop}, return_when=asyncio.FIRST_COMPLETED)
        told = tell.done() and tell.exception() is None
        slow = tell.done() and isinstance(tell.exception(), TimeoutError)
    finally:
        for task in (tell, listen, stop):
            task.cancel()
        await asyncio.gather(tell, listen, stop, return_exceptions=True)
    if slow and transport is not None:
        transport.abort()
    elif not ws.closed:
        await ws.close(code=WSCloseCode.OK if told else WSCloseCode.GOING_AWAY)
    return ws


async def watch(request: web.Request) -> web.StreamResponse:
    """GET /files/{id}/progress: a WebSocket or Server-Sent Events where asked for, one JSON object otherwise."""
    if request.headers.get("Upgrade", "").lower() == "websocket":
        if not request.headers.get("Sec-WebSocket-Key", "").isascii():
            raise BadRequest("Sec-WebSocket-Key must be ASCII.")
        return await _watch(request)
    if wants_events(request):
        return await send_events(request, _follow(request.app[STATE], upload_id(request)), request.app[STOPPING])
    snapshot = progress(await request.app[STATE].load(upload_id(request)))
    return web.Response(text=snapshot.json, content_type="application/json", headers={"Cache-Control": "no-store"})


async def _stop(app: web.Application) -> None:
    app[STOPPING].set()


def add_watching(app: web.Application, state: State) -> None:
    """Add the progress route."""
    app[STATE] = state
    app[STOPPING] = asyncio.Event()
    path = app[CONFIG].prefix + UPLOAD + "/progress"
    app.router.add_get(path, watch, allow_head=False)
    app.router.add_options(path, discover)
    app.on_shutdown.append(_stop)
