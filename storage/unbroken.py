"""Calls that a cancellation waits for: nothing goes on behind the back of who was cancelled."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def unbroken(call: Awaitable[T]) -> T:
    """Let a call end before a cancellation goes on.

    A lease that is taken after its release would belong to nobody; a thread would write to a descriptor that was closed
    and is somebody else's by now; and the client library of Redis does not take a cancellation in the middle of a
    command well.
    """
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # nobody waits for it any more
        raise
