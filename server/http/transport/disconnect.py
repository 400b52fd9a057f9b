"""A client that leaves before the first byte of its body: nothing needs to wait for its sake.

aiohttp lets a handler go on to its end, so that the bytes that have arrived are recorded.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiohttp import StreamReader, web

T = TypeVar("T")


async def cancel_on_disconnect(request: web.Request, work: Coroutine[Any, Any, T]) -> T:
    """Do the work of a request; raises ConnectionResetError, with the work cancelled, where the client has left."""
    if request.content.is_eof():
        return await work
    doing = asyncio.current_task()
    assert doing is not None  # noqa: S101
    watching = asyncio.create_task(_cancel_if_left(request.content, doing))
    try:
        return await work
    except asyncio.CancelledError:
        left = watching.done() and not watching.cancelled() and watching.result()
        if left and not doing.uncancel():  # otherwise it was cancelled for another reason as well
            raise ConnectionResetError("the client has left") from None
        raise
    finally:
        watching.cancel()


async def _cancel_if_left(content: StreamReader, work: asyncio.Future[Any]) -> bool:
    """Tell whether the work was cancelled, once the body has come to its end."""
    try:
        if (fault := content.exception()) is not None:
            raise fault
        await content.wait_eof()
    except OSError:
        return not content.total_bytes and work.cancel()
    except web.RequestPayloadError:
        pass
    return False
