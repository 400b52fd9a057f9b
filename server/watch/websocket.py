"""Sends progress over a WebSocket; `server/watch/routes.py` calls it.

The task of the handler writes. A second task reads, because a handler that only writes never notices that the client
has closed.
"""

import asyncio
from contextlib import suppress
from functools import lru_cache

from aiohttp import WSCloseCode, web

from onward.server.watch.subscriber import BUFFER, CLOSE_AFTER, Subscriber

CLOSE_WAIT = 2.0  # seconds that a watcher may take to answer a close
EXPIRED = 4401  # the code of a close because the token of the watcher has expired
LARGEST_FRAME = 1024
RECENT = 256  # messages whose frames are kept


@lru_cache(RECENT)
def _frame(text: str) -> bytes:
    """Return a message of 126 to 65535 bytes as a text frame without a mask (RFC 6455, 5.2), for all its watchers."""
    data = text.encode()
    return b"\x81\x7e" + len(data).to_bytes(2) + data


async def _listen(ws: web.WebSocketResponse, watcher: Subscriber) -> None:
    async for _ in ws:
        pass
    watcher.end()


async def send_frames(request: web.Request, watcher: Subscriber) -> web.StreamResponse:
    """Send each message as a frame; closes with 1000 after the last final one, and with 1001 if the server ends it.

    It closes with EXPIRED when the token of the watcher expires.
    """
    ws = web.WebSocketResponse(
        compress=False, max_msg_size=LARGEST_FRAME, writer_limit=BUFFER, timeout=CLOSE_WAIT
    )  # without aiohttp's heartbeat, whose timers outlive the connection by half a minute
    watcher.begin(await ws.prepare(request), _frame)
    listening = asyncio.create_task(_listen(ws, watcher))
    try:
        with suppress(ConnectionError):  # the client has left
            while not watcher.done:
                message = await watcher.next()
                if message is not None:
                    await watcher.accept(ws.send_str(message.json))
                elif not watcher.done:
                    await watcher.accept(ws.ping())
            if watcher.over:
                await asyncio.sleep(CLOSE_AFTER)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    if not ws.closed:
        code = WSCloseCode.OK if watcher.over else EXPIRED if watcher.expired else WSCloseCode.GOING_AWAY
        await ws.close(code=code, drain=False)
    return ws
