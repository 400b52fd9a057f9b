"""Calls that a cancellation waits for: nothing goes on behind the back of who was cancelled."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from onward.storage.base import Unreachable

T = TypeVar("T")


async def uncancellable(call: Awaitable[T]) -> T:
    """Let a call end before a cancellation goes on.

    A lease that is taken after its release would belong to nobody, and the client library of Redis does not take a
    cancellation in the middle of a command well.
    """
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(disregard)
        await asyncio.wait({task})
        raise


def disregard(task: asyncio.Future[Any]) -> None:
    """Take note of how a task ended that nobody waits for any more, so that nobody complains."""
    if not task.cancelled():
        task.exception()


class PendingCalls:
    """Unbroken calls to something that may never answer: at the end all of them are given up."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[Any]] = set()
        self.over = False

    async def end(self, call: Awaitable[T]) -> T:
        """Let a call end; raises Unreachable where it is given up."""
        task = asyncio.ensure_future(call)
        self._running.add(task)
        if self.over:
            task.cancel()
        try:
            return await uncancellable(task)
        except asyncio.CancelledError:
            waiting = asyncio.current_task()
            if task.cancelled() and waiting is not None and not waiting.cancelling():
                raise Unreachable("it is closed") from None
            raise
        finally:
            self._running.discard(task)

    def give_up(self) -> None:
        """Give up what has not ended, and whatever is called from now on."""
        self.over = True
        for task in self._running:
            task.cancel()
