"""The periodic sweep: expired uploads, unfinished verification, uploads that fell silent."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

from aiohttp import web

from server.engine import Engine

log = logging.getLogger("onward")


async def _sweep_for_ever(engine: Engine, every: float) -> None:
    while True:
        try:
            await engine.sweep()
        except Exception:
            log.exception("the sweep failed, and is tried again in %g s", every)
        await asyncio.sleep(every)


def add_upkeep(app: web.Application, engine: Engine, every: float) -> None:
    """Sweep as long as the application runs; `every` is in seconds."""

    async def upkeep(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(_sweep_for_ever(engine, every))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    app.cleanup_ctx.append(upkeep)
