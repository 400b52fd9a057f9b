"""An outage of a store that passes within seconds: a question waits for its end instead of being refused.

The routes use it where asking again changes nothing. Clients would come back as well, but not all of them: some ask
only a few times, and without a pause.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from onward.storage.base import Unreachable

FIRST, LONGEST = 0.1, 1.0  # seconds between two tries; each rest is twice as long as the one before
T = TypeVar("T")


async def outlast(work: Callable[[], Awaitable[T]], *, within: float, stopping: asyncio.Event) -> T:
    """Try again as long as the store does not answer, for about `within` seconds; raises what the last try raises."""
    loop, rest = asyncio.get_running_loop(), FIRST
    until = loop.time() + within
    while True:
        try:
            return await work()
        except Unreachable:
            left = until - loop.time()
            if left <= 0 or stopping.is_set():
                raise
        with suppress(TimeoutError):
            async with asyncio.timeout(min(rest, left)):
                await stopping.wait()
        rest = min(2 * rest, LONGEST)
