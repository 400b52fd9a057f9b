"""The work that no request asks for: the sweep, the removal of strays, the report of pauses, the check of watchers.

`server/lifespan.py` starts the tasks with the application and stops them before the storage is closed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from onward.server.metrics import Metrics
from onward.server.uploads.engine import CLOSING, Engine
from onward.server.watch.broadcast import Broadcast
from onward.storage.base import StorageError
from onward.storage.failure_log import Reports

TIDY_EVERY = 3600.0  # seconds
log = logging.getLogger("onward")


class BackgroundTasks:
    """The tasks of one application, which run from now on; `sweep_every` is in seconds."""

    def __init__(self, engine: Engine, broadcast: Broadcast, metrics: Metrics, sweep_every: float) -> None:
        self._sweep = engine.sweep
        self._tasks = [
            asyncio.create_task(_repeat(engine.sweep.look, sweep_every)),
            asyncio.create_task(_repeat(engine.sweep.tidy, TIDY_EVERY)),
            asyncio.create_task(engine.sweep.pause_for_ever()),
            asyncio.create_task(broadcast.check_for_ever()),
            asyncio.create_task(metrics.share_for_ever()),
        ]

    async def stop(self) -> None:
        """Cancel all tasks, and wait for CLOSING seconds at most until they have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait({*self._tasks, *self._sweep.cancel()}, timeout=CLOSING)


async def _repeat(work: Callable[[], Awaitable[int]], every: float) -> None:
    """Do the work again and again; a fault is logged, and does not end the task."""
    reports = Reports("the clean-up")
    while True:
        try:
            await work()
            reports.succeeded()
        except StorageError as fault:
            if not fault.reported:
                reports.failed(fault)
        except Exception:
            log.exception("the clean-up failed, and is tried again in %g s", every)
        await asyncio.sleep(every)
