"""Progress as Server-Sent Events: the same messages as over the WebSocket, each with its `seq` as its id."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from protocol.progress import Progress

MEDIA_TYPE = "text/event-stream"
HEARTBEAT = 20.0  # seconds of silence until a comment is sent, so that a dead connection is noticed
SEND_WAIT = 10.0  # seconds that a watcher may take to accept one message


def wants_events(request: web.Request) -> bool:
    """Tell whether a request asks for them."""
    return MEDIA_TYPE in request.headers.get("Accept", "")


async def send_events(
    request: web.Request, messages: AsyncGenerator[Progress, None], stopping: asyncio.Event
) -> web.StreamResponse:
    """Send messages newer than `Last-Event-ID` up to the final one; who has that gets 204, and comes no more."""
    known = request.headers.get("Last-Event-ID", "")
    last = int(known) if known.isascii() and known.isdigit() and len(known) < 19 else -1
    stop = asyncio.ensure_future(stopping.wait())
    async with aclosing(messages):
        newest = await anext(messages)
        if newest.final and newest.seq <= last:
            stop.cancel()
            return web.Response(status=204)
        response = web.StreamResponse(
            headers={"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        response.force_close()
        await response.prepare(request)
        following: asyncio.Task[Progress] | None = None
        try:
            text = "" if newest.seq <= last else _event(newest)
            while True:
                async with asyncio.timeout(SEND_WAIT):
                    await response.write((text or ":\n\n").encode())
                if newest.final:
                    break
                following = following or asyncio.ensure_future(_next(messages))
                await asyncio.wait({following, stop}, timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
                if stop.done():
                    break
                text = ""
                if following.done():
                    newest, following = following.result(), None
                    text = _event(newest)
        except TimeoutError as error:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionAbortedError from error
        finally:
            for task in (stop, following):
                if task is not None:
                    task.cancel()
            await asyncio.gather(stop, *([following] if following else []), return_exceptions=True)
    await response.write_eof()
    return response


async def _next(messages: AsyncGenerator[Progress, None]) -> Progress:
    return await anext(messages)


def _event(message: Progress) -> str:
    return f"id: {message.seq}\ndata: {message.json}\n\n"
