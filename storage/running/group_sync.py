"""One sync of the file system for all who wait for theirs: cheaper for many uploads at once, as durable as one each."""

import asyncio
import ctypes
import os
from collections.abc import Awaitable, Callable

from onward.storage.base import Unreachable
from onward.storage.running.threads import Answer

GATHER = 0.005  # seconds that a sync may wait for others
Sync = Callable[[list[int]], list[OSError | None]]
_libc = ctypes.CDLL(None, use_errno=True)


def sync_all(descriptors: list[int]) -> list[OSError | None]:
    """Make files durable, and give what went wrong with each.

    One syncfs writes everything; each file is asked all the same, which costs little then: an error of writing back is
    told to descriptors that were open when it happened, and to no other.
    """
    if len(descriptors) > 1:
        _libc.syncfs(descriptors[0])
    return [_synced(descriptor) for descriptor in descriptors]


def _synced(descriptor: int) -> OSError | None:
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        return error
    return None


class GroupSync:
    """Gathers those who want a file to be durable; all their files lie on one file system."""

    def __init__(self, run: Callable[[Sync, list[int]], Awaitable[list[OSError | None]]]) -> None:
        self._run = run
        self._waiting: list[tuple[int, Answer[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def sync(self, descriptor: int) -> None:
        """Wait until a file is durable; raises OSError, and what kept the sync from being made."""
        done = Answer[None]()
        self._waiting.append((descriptor, done))
        if self._task is None:
            self._task = asyncio.create_task(self._sync_until_none_waits())
        await done

    async def _sync_until_none_waits(self) -> None:
        try:
            while self._waiting:
                await self._sync_batch()
        finally:
            self._task = None
            _answer(self._waiting, Unreachable("the syncing was ended"))  # nobody, unless this task was cancelled
            self._waiting = []

    async def _sync_batch(self) -> None:
        await asyncio.sleep(GATHER)
        batch, self._waiting = self._waiting, []
        try:
            faults = await self._run(sync_all, [descriptor for descriptor, _ in batch])
        except Exception as error:  # no thread to be had, for one: the next batch may fare better
            _answer(batch, error)
        except BaseException:
            _answer(batch, Unreachable("the syncing was ended"))
            raise
        else:
            for fault, (_, done) in zip(faults, batch, strict=True):
                done.set_exception(fault) if fault else done.set_result(None)


def _answer(waiting: list[tuple[int, Answer[None]]], fault: Exception) -> None:
    """Tell everybody who waits for a sync what went wrong."""
    for _, done in waiting:
        done.set_exception(fault)
