"""Cancels the work of a request whose client disconnects before the first byte of its body, such as a wait for a lease.

The server runs without aiohttp's cancellation of handlers, so that bytes that have arrived are always recorded. Without
any byte there is nothing to record, and the work can stop. The route for PATCH uses this.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiohttp import StreamReader, web

T = TypeVar("T")


async def cancel_on_disconnect(request: web.Request, work: Coroutine[Any, Any, T]) -> T:
    """Do the work of a request; if its client disconnects, cancel the work and raise ConnectionResetError."""
    if request.content.is_eof():
        return await work
    current = asyncio.current_task()
    assert current is not None  # noqa: S101
    watch = asyncio.create_task(_cancel_on_disconnect(request.content, current))
    try:
        return await work
    except asyncio.CancelledError:
        disconnected = watch.done() and not watch.cancelled() and watch.result()
        if disconnected and not current.uncancel():  # otherwise it was cancelled for another reason as well
            raise ConnectionResetError("the client has disconnected") from None
        raise
    finally:
        watch.cancel()


async def _cancel_on_disconnect(content: StreamReader, work: asyncio.Future[Any]) -> bool:
    """Wait for the end of the body; cancel the work if there was no byte, and return whether that was done."""
    try:
        if (fault := content.exception()) is not None:
            raise fault
        await content.wait_eof()
    except OSError:
        return not content.total_bytes and work.cancel()
    except web.RequestPayloadError:
        pass
    return False
