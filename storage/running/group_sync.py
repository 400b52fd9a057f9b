"""One sync of the file system for many files (`--durability=group`).

While many uploads are running, each wants to sync its file at about the same time. `GroupSync` waits 5 ms for others
and then makes one `syncfs` for all of them: as durable as one sync each, and cheaper. Called by the blobs on disk.
"""

import asyncio
import ctypes
import os
from collections.abc import Awaitable, Callable

from onward.storage.base import Unreachable
from onward.storage.running.threads import Answer

GATHER = 0.005  # seconds that a sync waits for others to join it
Sync = Callable[[list[int]], list[OSError | None]]
_libc = ctypes.CDLL(None, use_errno=True)


def sync_all(descriptors: list[int]) -> list[OSError | None]:
    """Make files durable, and return for each file the error, or None.

    One syncfs writes everything. Each file is synced afterwards all the same, which costs little then: the kernel
    reports a failed write only to a sync of that file, by a descriptor that was open when the write failed.
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
    """Gathers the files that are to be synced; all of them are on one file system."""

    def __init__(self, run: Callable[[Sync, list[int]], Awaitable[list[OSError | None]]]) -> None:
        self._run = run
        self._waiting: list[tuple[int, Answer[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def sync(self, descriptor: int) -> None:
        """Make a file durable; raises OSError if its sync fails, and Unreachable if the sync could not be made."""
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
            _fail(self._waiting, Unreachable("the sync was cancelled"))  # empty, unless this task was cancelled
            self._waiting = []

    async def _sync_batch(self) -> None:
        await asyncio.sleep(GATHER)
        batch, self._waiting = self._waiting, []
        try:
            faults = await self._run(sync_all, [descriptor for descriptor, _ in batch])
        except Exception as error:  # for example, no thread can be started: the next batch may succeed
            _fail(batch, error)
        except BaseException:
            _fail(batch, Unreachable("the sync was cancelled"))
            raise
        else:
            for fault, (_, done) in zip(faults, batch, strict=True):
                done.set_exception(fault) if fault else done.set_result(None)


def _fail(waiting: list[tuple[int, Answer[None]]], fault: Exception) -> None:
    """Raise an error in everything that waits for a sync."""
    for _, done in waiting:
        done.set_exception(fault)
