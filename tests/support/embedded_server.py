"""The server inside this process, as an application embeds it; it may be opened again on the same data."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from onward import Check, Config, create_app, create_runner
from onward.server.http.access import Access, allow_everything


@asynccontextmanager
async def embedded(
    data: Path, checks: Sequence[Check] = (), access: Access = allow_everything, **options: Any
) -> AsyncIterator[str]:
    """Run the server on a data folder; gives the URL of its uploads."""
    config = Config(data=str(data), **({"sweep_every": 0.1, "quiet_after": 0.1} | options))
    runner = create_runner(create_app(config, checks=checks, access=access), config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/files"
    finally:
        await runner.cleanup()
