"""What the application does when it starts and when it stops, as lists of steps, and all times of a stop.

`create_app` adds a `Lifespan`; aiohttp calls it. A stop has three phases, since aiohttp waits for requests in between:

    SIGTERM                                                       --drain    + GRACE
       │                                                             │          │
       ├─ begin_stop: not ready, bodies cut, watchers ended          │          │
       ├─ aiohttp waits for the requests ────────────────┤ 85 %      │          │
       │  downloads are cut ──────────────────────────┤ 80 %         │          │
       │                                                 ├─ finish_stop: background work ends, events under way too
       │                                                 │    (for 5 % at most), records are settled,
       │                                                 │    until 92.5 %; then the storage is closed
       │                                                             │          ├─ the watchdog ends the process
                                                                                     (server/serve.py)

`CLOSING` (server/uploads/engine.py) is the short time that work has to react once it was cancelled.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from math import inf
from pathlib import Path
from urllib.parse import urlencode

from aiohttp import web

from onward.protocol.naming import parse_layout
from onward.server.access.opening import open_tokens
from onward.server.background import BackgroundTasks
from onward.server.config import Config, ConfigError
from onward.server.configured_checks import configured_checks
from onward.server.control.listener import Control, open_control
from onward.server.events.delivery import Delivery
from onward.server.events.targets import ask_of, signer_of, subscriptions_of, targets_of
from onward.server.events.webhook import OnEvent, open_session
from onward.server.health import HEALTH, Health
from onward.server.http.access import ASK_CREATION, TOKENS
from onward.server.http.app_keys import CHECKS, CONFIG, ENGINE, STOPPING
from onward.server.http.download import DOWNLOADS, Downloads
from onward.server.metrics import Metrics
from onward.server.shared_numbers import SharedNumbers
from onward.server.uploads.checks import Check
from onward.server.uploads.engine import Engine
from onward.server.uploads.publishing import Publishing
from onward.server.watch.broadcast import Broadcast
from onward.server.watch.routes import BROADCAST
from onward.storage import open_storage
from onward.storage.base import Full, Modes, StorageError

# Shares of --drain, counted from the beginning of the stop.
CUT_DOWNLOADS = 0.8  # downloads that still run are cut, so that aiohttp has time to end their connections
REQUESTS_END = 0.85  # aiohttp waits for requests no longer, and closes their connections
DELIVERED = 0.05  # counted from when delivery stops: attempts that run for longer than that are cancelled
SETTLED = 0.925  # the wait until all acknowledged bytes are durable ends
LEAST_TO_SETTLE = SETTLED - REQUESTS_END  # for this, even if an application that embeds the server took longer
GRACE = 2.0  # seconds after the drain; then the process is ended, whatever still hangs in it

AS_ID = "{id}"  # the layout that needs no staging
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # Linux: changes with each start of the machine
SHARED: web.AppKey[SharedNumbers] = web.AppKey("shared", SharedNumbers)  # only in one of several workers
log = logging.getLogger("onward")


class Lifespan:
    """Starts and stops the parts of one application; the values that handlers need are in the application.

    `on_event` is a function of the application that gets all events.
    """

    def __init__(self, on_event: OnEvent | None = None) -> None:
        self._on_event = on_event
        self._settle_by = inf  # the loop's time
        self._control: Control | None = None

    def add_to(self, app: web.Application) -> None:
        """Have aiohttp start and stop the application in this way."""
        app[STOPPING] = asyncio.Event()
        app.cleanup_ctx.append(self._run)
        app.on_shutdown.append(self.begin_stop)

    async def _run(self, app: web.Application) -> AsyncIterator[None]:
        background = await self.start(app)
        yield
        await self.finish_stop(app, background)

    async def start(self, app: web.Application) -> BackgroundTasks:
        """Open the storage, and start everything that acts on it; raises ConfigError and what `open_engine` raises."""
        config = app[CONFIG]

        # 1. Open records and bytes. All that can fail is in this step; it closes again what it has opened.
        signer = signer_of(config)
        ask = ask_of(config) if "create" in config.ask_acts else None
        app[ASK_CREATION] = ask.creation if ask is not None else None
        engine = app[ENGINE] = await open_engine(config, app[CHECKS], self._on_event)
        try:
            app[TOKENS] = self._tokens = open_tokens(config)  # the key may be in the data folder, which is there now
        except BaseException:
            await engine.close()
            raise

        # 2. Make what requests share: the threads of downloads, the subscriptions of watchers, the probes of health.
        app[DOWNLOADS] = Downloads()
        broadcast = app[BROADCAST] = Broadcast(
            engine.records.storage.state,
            per_upload=config.watchers_per_upload,
            per_address=config.watchers_per_address,
        )

        # 3. Listen for the operator's commands, which could not open this state themselves.
        if not config.is_shared:
            self._control = await open_control(engine, Path(config.data))

        # 4. Start to deliver the events in the outbox, if anybody wants events.
        self._delivery: Delivery | None = None
        if engine.records.storage.subscriptions.targets:
            self._session = open_session()
            self._delivery = Delivery(
                engine.records.storage.state.outbox,
                targets_of(config, self._on_event, self._session, signer),
                clock=engine.records.clock,
                retry_for=config.webhook_retry_for,
            )
            engine.records.on_events = self._delivery.wake
        metrics = Metrics(engine, lambda: len(broadcast.watchers), self._delivery, app.get(SHARED))
        app[HEALTH] = Health(engine, metrics)

        # 5. Start the work that no request asks for: the sweep, and the check of watchers that do not read.
        return BackgroundTasks(engine, broadcast, metrics, config.sweep_every)

    async def begin_stop(self, app: web.Application) -> None:
        """Bring the requests to their end. The listening sockets are closed; aiohttp waits for the requests next."""
        drain, now = app[CONFIG].drain, asyncio.get_running_loop().time()
        self._settle_by = now + drain * SETTLED

        # 1. Answer /readyz with 503, so that load balancers send requests elsewhere.
        app[HEALTH].stopping = True
        # 2. End the waits for a store that is away.
        app[STOPPING].set()
        # 3. Cut downloads in time; until then they may finish.
        app[DOWNLOADS].cut_after(drain * CUT_DOWNLOADS)
        # 4. End the watchers; their clients reconnect, to another node if there is one.
        app[BROADCAST].stop()
        # 5. Cut running bodies: what has arrived is recorded and answered, and the client resumes elsewhere.
        app[ENGINE].stop()

    async def finish_stop(self, app: web.Application, background: BackgroundTasks) -> None:
        """Close everything, after the last request has ended."""
        try:
            # 1. Cut the operator's commands, and cancel the background work.
            if self._control is not None:
                await self._control.close()
            await background.stop()
        finally:
            if self._tokens is not None:
                await self._tokens.close()
            # 2. Deliver no more events; those that wait are delivered after the next start, or by another node.
            if self._delivery is not None:
                await self._delivery.stop(within=app[CONFIG].drain * DELIVERED)
                await self._session.close()
            # 3. Make all acknowledged bytes durable, as far as the time allows, and close the storage.
            left = self._settle_by - asyncio.get_running_loop().time()
            await app[ENGINE].close(within=max(left, app[CONFIG].drain * LEAST_TO_SETTLE))
            # 4. End the threads of downloads.
            app[DOWNLOADS].close()


async def open_engine(config: Config, checks: Sequence[Check] = (), on_event: OnEvent | None = None) -> Engine:
    """Open the storage and the engine on it; also used by the operator's commands.

    `checks` and `on_event` are those of an application.

    Raises ConfigError if the data folder can't be used, and what the stores raise. Nothing stays open then.
    """
    boot, checks = _boot(), (*configured_checks(config), *checks)
    try:
        storage = await open_storage(
            state=config.state,
            blobs=blobs_of(config),
            data=Path(config.data),
            durability=config.durability,
            subscriptions=subscriptions_of(config, on_event),
            modes=Modes(file=config.file_mode, folder=config.dir_mode),
        )
    except (OSError, StorageError) as error:
        fault = error if isinstance(error, OSError) else error.__cause__
        if isinstance(error, Full) or not isinstance(fault, OSError) or not fault.filename:
            raise
        reason = "it is not a folder" if isinstance(fault, FileExistsError) else f"{fault.filename}: {fault.strerror}"
        raise ConfigError("data", f"{config.data!r} can't be used as the data folder: {reason}") from error
    layout = None if config.layout == AS_ID else parse_layout(config.layout)
    publishing = Publishing(layout=layout, public_url=config.public_url, shares=config.duplicates == "share")
    engine = Engine(
        storage, config.limits, lease_wait=config.lease_wait, boot=boot, checks=checks, publishing=publishing
    )
    try:
        await engine.records.ask_the_time()
    except BaseException:
        await storage.close()
        raise
    return engine


def blobs_of(config: Config) -> str:
    """Return the URL of the store of bytes, with the options of an object store."""
    if not config.blobs.startswith("s3:"):
        return config.blobs
    options: dict[str, object] = {"endpoint": config.s3_endpoint, "region": config.s3_region}
    options |= {"part-size": config.part_size, "memory": config.upload_memory}
    return f"{config.blobs}?{urlencode({name: value for name, value in options.items() if value})}"


def _boot() -> str:
    return BOOT_ID.read_text().strip()
