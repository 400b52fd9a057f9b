"""The composition root: storage, engine, routes, middleware and clean-up, and the runner that serves them."""

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from math import inf
from pathlib import Path
from typing import Any

from aiohttp import web

from onward.server.background import add_background_tasks
from onward.server.config import Config, Wrong
from onward.server.health import add_health
from onward.server.http.access import ACCESS, Access, allow_everything
from onward.server.http.app_keys import CLOSE, CONFIG, ENGINE
from onward.server.http.cors import add_cors, parse_origins
from onward.server.http.problems import answering, mark
from onward.server.http.routes import add_routes
from onward.server.http.transport.server import Runner
from onward.server.listen import BACKLOG, listen, urls
from onward.server.page.page import add_page
from onward.server.uploads.engine import Engine
from onward.server.watch.routes import add_watching
from onward.storage import open_storage
from onward.storage.base import Full, StorageError, Unreachable

Announce = Callable[[Sequence[str]], object]
log = logging.getLogger("onward")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # Linux: another one after each start of the machine
READ_BUFFER = 2**18  # bytes of a body that wait in aiohttp's stream, at most twice
LARGEST_LINE = 8190  # bytes of a request line, and of a header
MOST_HEADERS = 64
YOUNG = 10_000  # objects until garbage is looked for: of the default 700, a few requests make that many
GRACE = 2.0  # seconds after the drain until a stop that hangs is ended
FOR_STORES = 0.15  # of the drain: what is left of it to close the stores in
EVERY = 60.0  # seconds between two lines that there is no room for connections
LINGERING = 1.0  # seconds that an unread body is drained after an early answer


def _boot() -> str:
    return BOOT_ID.read_text().strip()


async def open_engine(config: Config) -> Engine:
    """Open the storage and what acts on it; raises Wrong for a data folder of no use, and what the stores raise."""
    boot = _boot()
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
    engine = Engine(storage, config.limits, lease_wait=config.lease_wait, boot=boot)
    try:
        await engine.records.ask_the_time()
    except BaseException:
        await storage.close()
        raise
    return engine


async def create_app(config: Config, access: Access = allow_everything) -> web.Application:
    """Build the application, with its storage open; it is closed when the application is cleaned up.

    `access` is asked before every act on an upload, watching too; it raises a Refusal.
    """
    origins = parse_origins(config.cors_origins)
    engine = await open_engine(config)
    try:
        return _application(config, engine, access, origins)
    except BaseException:
        await engine.close()
        raise


def _application(config: Config, engine: Engine, access: Access, origins: frozenset[str]) -> web.Application:
    app = web.Application(middlewares=[answering])
    app[CONFIG], app[ENGINE], app[ACCESS] = config, engine, access
    add_page(app)
    add_routes(app)
    broadcast = add_watching(app, engine.records.storage.state)
    add_health(app, engine, lambda: len(broadcast.watchers))

    _add_end(app, engine, config.drain)
    add_background_tasks(app, engine, config.sweep_every)
    app.on_response_prepare.append(mark)
    add_cors(app, origins, credentials=config.cors_credentials)
    return app


def _add_end(app: web.Application, engine: Engine, drain: float) -> None:
    """Stop and close the engine together with the application, in `drain` seconds as far as it can be done."""
    loop = asyncio.get_running_loop()
    until, closed = inf, False

    async def stop(_: web.Application) -> None:
        nonlocal until
        until = loop.time() + drain * (1 - FOR_STORES / 2)
        engine.stop()

    async def close() -> None:
        nonlocal closed
        if not closed:
            closed = True
            await engine.close(within=max(until - loop.time(), 0))

    async def opened(_: web.Application) -> AsyncIterator[None]:
        yield
        await close()

    app[CLOSE] = close
    app.on_shutdown.append(stop)
    app.cleanup_ctx.insert(0, opened)  # left last, also where leaving another one fails


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


def _watchdog(seconds: float) -> threading.Event:
    """Give an event; so many seconds after it is set the process is ended, whatever still hangs in it.

    A thread that a disk holds up can't be waited for. The watchdog is a thread too, and is started now: when the server
    stops there may be none to be had. Raises Unreachable if there is none now.
    """
    asked = threading.Event()

    def watch() -> None:
        asked.wait()
        time.sleep(seconds)
        os._exit(1)

    try:
        threading.Thread(target=watch, name="watchdog", daemon=True).start()
    except RuntimeError as error:
        raise Unreachable(f"no thread can be started: {error}") from error
    return asked


class LoopFaults:
    """Logs the faults that the event loop tells; that the system has no room for a connection, once a minute.

    asyncio tells that a thousand times a second, each time with a traceback, as long as connections wait.
    """

    def __init__(self) -> None:
        self._said = -inf

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log one fault."""
        fault = context.get("exception")
        if not isinstance(fault, OSError) or "accept" not in context.get("message", ""):
            loop.default_exception_handler(context)
        elif loop.time() - self._said >= EVERY:
            self._said = loop.time()
            log.warning("no connection can be taken at the moment, and they wait: %s", fault.strerror)


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
    stopping, end_in_time = asyncio.Event(), _watchdog(config.drain + GRACE)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(LoopFaults())

    def stop() -> None:
        if stopping.is_set():
            os._exit(1)
        stopping.set()
        log.info("stopping, in %g s at most", config.drain)
        end_in_time.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    runner = create_runner(await create_app(config), config)
    try:
        await runner.setup()
        listeners = listeners or listen(config)[0]
        for listener in listeners:
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
        _spare_collector()
        announce(urls(config, listeners))
        await stopping.wait()
    finally:
        await runner.cleanup()
