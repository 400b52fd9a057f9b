"""Progress as Server-Sent Events; the id of each tells the newest `seq` of every upload, in the order asked for."""

import asyncio

from aiohttp import web

from onward.protocol.model import UploadId
from onward.server.watch.subscriber import CLOSE_AFTER, NOTHING, Subscriber

MEDIA_TYPE = "text/event-stream"
COMMENT = b":\n\n"


def wants_events(request: web.Request) -> bool:
    """Tell whether a request asks for them."""
    return MEDIA_TYPE in request.headers.get("Accept", "")


def last_told(request: web.Request, ids: list[UploadId]) -> dict[UploadId, int]:
    """Give the newest `seq` of each upload that `Last-Event-ID` tells; it may be anything."""
    words = request.headers.get("Last-Event-ID", "").split(",")
    known = [int(word) if word.isascii() and word.isdigit() and len(word) < 19 else NOTHING for word in words]
    return dict(zip(ids, known if len(known) == len(ids) else [NOTHING] * len(ids), strict=True))


async def send_events(request: web.Request, watcher: Subscriber) -> web.StreamResponse:
    """Send each message as an event; who knows all final ones gets 204, and comes no more."""
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
            known = ",".join("" if seq == NOTHING else str(seq) for seq in watcher.told.values())
            await watcher.accept(response.write(f"id: {known}\ndata: {message.json}\n\n".encode()))
        elif not watcher.done:
            await watcher.accept(response.write(COMMENT))
    if watcher.over:
        await asyncio.sleep(CLOSE_AFTER)
    await watcher.accept(response.write_eof())
    return response
