"""A short outage of a store: a request that only reads waits for its end, instead of being refused at once.

The routes use it where a repetition changes nothing. Most clients would retry by themselves, but some retry only a few
times and without a pause, and would give the upload up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import TypeVar

from aiohttp import web

from onward.server.http.app_keys import CONFIG, STOPPING
from onward.server.http.request_log import BEGAN
from onward.storage.base import Unreachable

SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 1.0  # seconds between two attempts; each pause is twice as long as the one before
T = TypeVar("T")


async def wait_for_store(request: web.Request, work: Callable[[], Awaitable[T]]) -> T:
    """Do `work` of a request; while the store does not answer, repeat it for `--lease-wait` from the request's begin.

    Raises what the last attempt raised.
    """
    app = request.app
    return await outlast(work, until=request[BEGAN] + app[CONFIG].lease_wait, stopping=app[STOPPING])


async def outlast(work: Callable[[], Awaitable[T]], *, until: float, stopping: asyncio.Event) -> T:
    """Repeat `work` while the store does not answer, but not after the monotonic time `until`.

    Raises what the last attempt raised.
    """
    pause = SHORTEST_PAUSE
    while True:
        try:
            return await work()
        except Unreachable:
            left = until - monotonic()
            if left <= 0 or stopping.is_set():
                raise
        with suppress(TimeoutError):
            async with asyncio.timeout(min(pause, left)):
                await stopping.wait()
        pause = min(2 * pause, LONGEST_PAUSE)
