"""One sync of the file system for all who wait for theirs: cheaper for many uploads at once, as durable as one each."""

import asyncio
import ctypes
import os
from collections.abc import Awaitable, Callable

GATHER = 0.005  # seconds that a sync may wait for others
_libc = ctypes.CDLL(None, use_errno=True)


def sync_all(descriptors: list[int]) -> None:
    """Make the files durable (syncfs reports the errors of writing back since Linux 5.8); raises OSError."""
    if len(descriptors) == 1:
        os.fdatasync(descriptors[0])
    elif _libc.syncfs(descriptors[0]):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class GroupSync:
    """Gathers those who want a file to be durable; all their files lie on one file system."""

    def __init__(self, run: Callable[[Callable[[list[int]], None], list[int]], Awaitable[None]]) -> None:
        self._run = run
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def sync(self, descriptor: int) -> None:
        """Wait until a file is durable; raises OSError."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((descriptor, done))
        if self._task is None:
            self._task = asyncio.create_task(self._sync_until_none_waits())
        await done

    async def _sync_until_none_waits(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER)
            batch, self._waiting = self._waiting, []
            fault: OSError | None = None
            try:
                await self._run(sync_all, [descriptor for descriptor, _ in batch])
            except OSError as error:
                fault = error
            for _, done in batch:
                if not done.done():
                    done.set_exception(fault) if fault else done.set_result(None)
        self._task = None
