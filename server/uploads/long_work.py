"""Work in the background, of which only so much runs at a time: the rest waits in a queue.

The sweep uses it for hashing and joining, which may take minutes, for pauses, and after a change of the clock.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Background(Generic[K]):
    """Work of one kind, at most `limit` pieces at a time; each has a key, which is queued only once."""

    def __init__(self, work: Callable[[K], Coroutine[Any, Any, object]], limit: int) -> None:
        self._work, self._limit = work, limit
        self._waiting: deque[K] = deque()
        self._known: set[K] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __contains__(self, key: K) -> bool:
        return key in self._known

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, key: K) -> None:
        """Queue a piece of work, unless it is running or queued already."""
        if key in self._known:
            return
        self._known.add(key)
        self._waiting.append(key)
        if len(self._tasks) < self._limit:
            task = asyncio.create_task(self._work_off())
            self._tasks.add(task)
            task.add_done_callback(self._note_end)

    async def over(self) -> None:
        """Wait until all work is done; raises what a piece of work raised."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def cancel(self) -> set[asyncio.Task[None]]:
        """Drop the queue and cancel what is running; returns the tasks that have not ended yet."""
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        return set(self._tasks)

    async def _work_off(self) -> None:
        while self._waiting:
            key = self._waiting.popleft()
            try:
                await self._work(key)
            finally:
                self._known.discard(key)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()):
            asyncio.get_running_loop().call_exception_handler(
                {"message": "work in the background failed", "exception": fault, "task": task}
            )
