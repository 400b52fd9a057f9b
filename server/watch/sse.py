"""Sends progress as Server-Sent Events; `server/watch/routes.py` calls it.

The id of each event is the newest `seq` of every upload, in the order of the request, with commas between. A browser
that reconnects sends it back as `Last-Event-ID`, and does not get again what it has.
"""

import asyncio

from aiohttp import web

from onward.protocol.model import UploadId
from onward.server.watch.subscriber import CLOSE_AFTER, NOTHING, Subscriber

MEDIA_TYPE = "text/event-stream"
COMMENT = b":\n\n"


def wants_events(request: web.Request) -> bool:
    """Return whether a request asks for Server-Sent Events."""
    return MEDIA_TYPE in request.headers.get("Accept", "")


def last_known(request: web.Request, ids: list[UploadId]) -> dict[UploadId, int]:
    """Return the newest `seq` of each upload that `Last-Event-ID` names; NOTHING for a header that makes no sense."""
    words = request.headers.get("Last-Event-ID", "").split(",")
    known = [int(word) if word.isascii() and word.isdigit() and len(word) < 19 else NOTHING for word in words]
    return dict(zip(ids, known if len(known) == len(ids) else [NOTHING] * len(ids), strict=True))


async def send_events(request: web.Request, watcher: Subscriber) -> web.StreamResponse:
    """Send each message as an event; a client that has all final ones gets 204, which ends its reconnecting."""
    if watcher.over:
        return web.Response(status=204)
    response = web.StreamResponse(
        headers={"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
    )
    response.force_close()
    writer = await response.prepare(request)
    assert writer is not None  # noqa: S101
    watcher.begin(writer)
    await watcher.accept(response.write(COMMENT))
    while not watcher.done:
        message = await watcher.next()
        if message is not None:
            known = ",".join("" if seq == NOTHING else str(seq) for seq, _ in watcher.sent.values())
            await watcher.accept(response.write(f"id: {known}\ndata: {message.json}\n\n".encode()))
        elif not watcher.done:
            await watcher.accept(response.write(COMMENT))
    if watcher.over:
        await asyncio.sleep(CLOSE_AFTER)
    await watcher.accept(response.write_eof())
    return response
