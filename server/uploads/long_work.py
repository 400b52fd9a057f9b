"""Work that nothing waits for: so much at a time, the rest in its order, and all of it ends with the server."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Background(Generic[K]):
    """Work of one kind, at most `most` pieces at a time; each has a key, and is there once."""

    def __init__(self, work: Callable[[K], Coroutine[Any, Any, object]], most: int) -> None:
        self._work, self._most = work, most
        self._waiting: deque[K] = deque()
        self._known: set[K] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __contains__(self, key: K) -> bool:
        return key in self._known

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, key: K) -> None:
        """Have a piece of work done, unless it is under way or waits already."""
        if key in self._known:
            return
        self._known.add(key)
        self._waiting.append(key)
        if len(self._tasks) < self._most:
            task = asyncio.create_task(self._go_on())
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    async def over(self) -> None:
        """Wait until all is done; raises what a piece of work raised."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def cancel(self) -> set[asyncio.Task[None]]:
        """Cancel what is under way, and drop what waits; returns the tasks that are still to end."""
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        return set(self._tasks)

    async def _go_on(self) -> None:
        while self._waiting:
            key = self._waiting.popleft()
            try:
                await self._work(key)
            finally:
                self._known.discard(key)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()):
            asyncio.get_running_loop().call_exception_handler(
                {"message": "work in the background failed", "exception": fault, "task": task}
            )
