"""The composition root: storage, engine, routes, middleware and clean-up, and the runner that serves them."""

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from math import inf
from pathlib import Path

from aiohttp import web

from server.access import ACCESS, Access, everybody
from server.config import Config, Wrong
from server.connection import Runner
from server.cors import add_cors, parse_origins
from server.engine import Engine
from server.health import add_health
from server.keys import CONFIG, ENGINE
from server.listening import BACKLOG, listen, urls
from server.middleware import answering, mark
from server.page import add_page
from server.routes import add_routes
from server.upkeep import add_upkeep
from server.watch import add_watching
from storage import open_storage
from storage.base import Full, StorageError

Announce = Callable[[Sequence[str]], object]
log = logging.getLogger("onward")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # Linux: another one after each start of the machine
READ_BUFFER = 2**18  # bytes of a body that wait in aiohttp's stream, at most twice
LARGEST_LINE = 8190  # bytes of a request line, and of a header
MOST_HEADERS = 64
YOUNG = 10_000  # objects until garbage is looked for: of the default 700, a few requests make that many
GRACE = 2.0  # seconds after the drain until a stop that hangs is ended
FOR_STORES = 0.15  # of the drain: what is left of it to close the stores in
LINGERING = 1.0  # seconds that an unread body is drained after an early answer


def _boot() -> str:
    return BOOT_ID.read_text().strip()


async def open_engine(config: Config) -> Engine:
    """Open the storage and what acts on it; raises Wrong for a data folder of no use, and what the stores raise."""
    try:
        storage = await open_storage(
            state=config.state, blobs=config.blobs, data=Path(config.data), durability=config.durability
        )
    except (OSError, StorageError) as error:
        fault = error if isinstance(error, OSError) else error.__cause__
        if isinstance(error, Full) or not isinstance(fault, OSError) or not fault.filename:
            raise
        why = "it is not a folder" if isinstance(fault, FileExistsError) else f"{fault.filename}: {fault.strerror}"
        raise Wrong("data", f"{config.data!r} can't be used as the data folder: {why}") from error
    return Engine(storage, config.limits, lease_wait=config.lease_wait, boot=_boot())


async def create_app(config: Config, access: Access = everybody) -> web.Application:
    """Build the application, with its storage open; it is closed when the application is cleaned up.

    `access` is asked before every act on an upload, watching too; it raises a Refusal.
    """
    engine = await open_engine(config)
    app = web.Application(middlewares=[answering])
    app[CONFIG], app[ENGINE], app[ACCESS] = config, engine, access
    add_page(app)
    add_routes(app)
    audiences = add_watching(app, engine.ledger.storage.state)
    add_health(app, engine, lambda: len(audiences.watchers))

    _add_end(app, engine, config.drain)
    add_upkeep(app, engine, config.sweep_every)
    app.on_response_prepare.append(mark)
    add_cors(app, parse_origins(config.cors_origins), credentials=config.cors_credentials)
    return app


def _add_end(app: web.Application, engine: Engine, drain: float) -> None:
    """Stop and close the engine together with the application, in `drain` seconds as far as it can be done."""
    loop = asyncio.get_running_loop()
    until = inf

    async def stop(_: web.Application) -> None:
        nonlocal until
        until = loop.time() + drain * (1 - FOR_STORES / 2)
        engine.stop()

    async def opened(_: web.Application) -> AsyncIterator[None]:
        yield
        await engine.close(within=max(until - loop.time(), 0))

    app.on_shutdown.append(stop)
    app.cleanup_ctx.append(opened)


def create_runner(app: web.Application, config: Config) -> web.AppRunner:
    """Build the runner with the settings that uploads need."""
    return Runner(
        app,
        header_wait=config.header_wait,
        connections=config.connections,
        access_log=None,
        auto_decompress=False,
        handler_cancellation=False,
        keepalive_timeout=config.keep_alive,
        lingering_time=LINGERING,
        max_field_size=LARGEST_LINE,
        max_headers=MOST_HEADERS,
        max_line_size=LARGEST_LINE,
        read_bufsize=READ_BUFFER,
        shutdown_timeout=config.drain * (1 - FOR_STORES) / 2,  # aiohttp takes it twice
    )


def _spare_collector() -> None:
    """Look for garbage nevermore in what is there at the start: that would hold the event loop up for 8 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)


def print_urls(urls: Sequence[str]) -> None:
    """Tell that connections are accepted: one line for each host, in the order of the options."""
    for url in urls:
        print(f"listening on {url}", flush=True)


async def serve(
    config: Config,
    listeners: Sequence[socket.socket] = (),
    announce: Announce = print_urls,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second one, or the end of the time for it, ends at once.

    With `listeners` at those; `announce` is given the URLs once connections are accepted.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            os._exit(1)
        stopping.set()
        log.info("stopping, in %g s at most", config.drain)
        drain = threading.Timer(
            config.drain + GRACE, os._exit, (1,)
        )  # a thread that a disk holds up can't be waited for
        drain.daemon = True
        drain.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    runner = create_runner(await create_app(config), config)
    await runner.setup()
    try:
        listeners = listeners or listen(config)[0]
        for listener in listeners:
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
        _spare_collector()
        announce(urls(config, listeners))
        await stopping.wait()
    finally:
        await runner.cleanup()
