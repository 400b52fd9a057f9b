"""Calls that run to their end although the task that waits for them is cancelled.

A task is cancelled at any `await`: when its client disconnects, when a time-out passes, when the server stops. Some
calls must not be abandoned then, because they take effect later, when no one expects it any more. If a lease were
granted after the code that releases it has run, nothing would ever release it. And the Redis client cannot be
interrupted in the middle of a command without confusing the replies of the connection.

    task      await uncancellable(call) .... cancelled .............. CancelledError is raised here
    call      |---------------- runs on ----------------------------| done

So a cancellation is delayed, never lost. The price is that the wait is as long as the call. Where a call may take for
ever (a Redis that does not answer), `PendingCalls` runs it, and `give_up` ends all of them when the server stops.

The other way to outlive a cancellation is `Answer` in threads.py, for calls that run in a thread.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from onward.storage.base import Unreachable

T = TypeVar("T")


async def uncancellable(call: Awaitable[T]) -> T:
    """Await a call and return its result; if the current task is cancelled, the call is still awaited to its end.

    Raises what the call raises, and CancelledError after the call has ended.
    """
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(disregard)
        await asyncio.wait({task})
        raise


def disregard(task: asyncio.Future[Any]) -> None:
    """Retrieve the exception of a task whose result is not needed, so that asyncio does not log it as forgotten."""
    if not task.cancelled():
        task.exception()


async def _awaited(task: asyncio.Future[T], within: float) -> T:
    """Await a task without cancelling it; raises TimeoutError."""
    await asyncio.wait({task}, timeout=within)
    if not task.done():
        task.add_done_callback(disregard)
        raise TimeoutError("there is no answer")
    return task.result()


class PendingCalls:
    """Uncancellable calls to something that may never answer: when it is closed, all of them are given up."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[Any]] = set()
        self.over = False

    async def end(self, call: Awaitable[T], *, within: float | None = None) -> T:
        """Await a call to its end; raises what it raises, and Unreachable if it is given up.

        One that has not ended `within` so many seconds runs on, and TimeoutError is raised; its result is not needed.
        """
        task = asyncio.ensure_future(call)
        self._running.add(task)
        if self.over:
            task.cancel()
        task.add_done_callback(self._running.discard)
        try:
            return await uncancellable(task if within is None else _awaited(task, within))
        except asyncio.CancelledError:
            waiting = asyncio.current_task()
            if task.cancelled() and waiting is not None and not waiting.cancelling():
                raise Unreachable("it is closed") from None
            raise

    def give_up(self) -> None:
        """Cancel all calls that have not ended, and every call that is made from now on."""
        self.over = True
        for task in self._running:
            task.cancel()
