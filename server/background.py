"""The periodic clean-up: the sweep of what is due, and of bytes that belong to nothing."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from onward.server.uploads.engine import CLOSING, Engine
from onward.storage.base import StorageError
from onward.storage.failure_log import Reports

TIDY_EVERY = 3600.0  # seconds
log = logging.getLogger("onward")


async def _for_ever(work: Callable[[], Awaitable[int]], every: float) -> None:
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


def add_background_tasks(app: web.Application, engine: Engine, every: float) -> None:
    """Sweep as long as the application runs; `every` is in seconds."""

    async def upkeep(_: web.Application) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(_for_ever(engine.upkeep.look, every)),
            asyncio.create_task(_for_ever(engine.upkeep.tidy, TIDY_EVERY)),
            asyncio.create_task(engine.upkeep.pause_for_ever()),
        ]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.wait({*tasks, *engine.upkeep.cancel()}, timeout=CLOSING)

    app.cleanup_ctx.append(upkeep)
