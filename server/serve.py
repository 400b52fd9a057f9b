"""One serving process, from its start to its exit: signals, the watchdog, listening sockets.

`server/cli.py` runs `serve` in the only process, `server/workers.py` in each of several. What starts and stops inside
the application is in `server/lifespan.py`.
"""

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from aiohttp import web

from onward.server.app import create_app, create_runner
from onward.server.config import Config
from onward.server.health import build_ops
from onward.server.lifespan import GRACE, SHARED
from onward.server.listen import BACKLOG, listen, listen_for_ops, urls
from onward.server.shared_numbers import SharedNumbers
from onward.storage.base import Unreachable

Announce = Callable[[Sequence[str]], object]
log = logging.getLogger("onward")
YOUNG = 10_000  # new objects until Python looks for garbage; a few requests alone make the 700 of its default
EVERY = 60.0  # seconds between two lines that no connection can be accepted


def print_urls(urls: Sequence[str]) -> None:
    """Print where connections are accepted: one line for each host, in the order of the options."""
    for url in urls:
        print(f"listening on {url}", flush=True)


async def serve(
    config: Config,
    listeners: Sequence[socket.socket] = (),
    announce: Announce = print_urls,
    *,
    ops: Sequence[socket.socket] = (),
    shared: SharedNumbers | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then stop within `--drain`; a second signal ends the process at once.

    Listens at `listeners`, and at `ops` for --ops-listen, if there are any; `announce` gets the URLs once connections
    are accepted. `shared` are the numbers of all workers. Raises what the start of the application and `listen` raise.
    """
    stopping = asyncio.Event()
    stop_started = _watchdog(config.drain + GRACE)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(LoopFaults())

    def stop() -> None:
        if stopping.is_set():
            os._exit(1)
        stopping.set()
        log.info("stopping, in %g s at most", config.drain)
        stop_started.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    app = create_app(config)
    if shared is not None:
        app[SHARED] = shared
    runner = create_runner(app, config)
    ops_runner = web.AppRunner(build_ops(app), access_log=None) if config.ops_listen else None
    try:
        await runner.setup()  # opens the storage: Lifespan.start
        listeners = listeners or listen(config)[0]
        for listener in listeners:
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
        if ops_runner is not None:
            await ops_runner.setup()
            for listener in ops or listen_for_ops(config)[0]:
                await web.SockSite(ops_runner, listener, backlog=BACKLOG).start()
        _spare_collector()
        announce(urls(config, listeners))
        await stopping.wait()
    finally:
        await runner.cleanup()  # closes the listeners, then Lifespan.begin_stop, requests end, Lifespan.finish_stop
        if ops_runner is not None:  # until now it has told that the server stops
            await ops_runner.cleanup()


def _watchdog(seconds: float) -> threading.Event:
    """Start a thread that ends the process so many seconds after the returned event is set.

    The event loop can't wait for a thread that hangs in a call to the disk, so the process has to be ended from beside
    it. The thread is started now because there may be none left when the server stops. Raises Unreachable if there is
    none now.
    """
    stop_started = threading.Event()

    def watch() -> None:
        stop_started.wait()
        time.sleep(seconds)
        os._exit(1)

    try:
        threading.Thread(target=watch, name="watchdog", daemon=True).start()
    except RuntimeError as error:
        raise Unreachable(f"no thread can be started: {error}") from error
    return stop_started


def _spare_collector() -> None:
    """Exclude everything that exists now from garbage collection, which would block the event loop for 8 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)


class LoopFaults:
    """Logs the faults of the event loop; that no connection can be accepted is logged once a minute only.

    asyncio reports that a thousand times a second, each time with a traceback, as long as connections wait.
    """

    def __init__(self) -> None:
        self._logged = -inf

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log one fault."""
        fault = context.get("exception")
        if not isinstance(fault, OSError) or "accept" not in context.get("message", ""):
            loop.default_exception_handler(context)
        elif loop.time() - self._logged >= EVERY:
            self._logged = loop.time()
            log.warning("no connection can be accepted at the moment, so new ones wait: %s", fault.strerror)
