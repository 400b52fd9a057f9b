"""/healthz, /readyz and /metrics: whether the server is alive, whether it can take uploads, and its metrics.

Operators, load balancers and Prometheus ask every few seconds. `server/lifespan.py` makes the `Health` of an
application when it starts, and says when it stops.
"""

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from onward.protocol.errors import StorageFull, Unavailable
from onward.protocol.grants import Act
from onward.server.http.access import check_token
from onward.server.http.app_keys import CONFIG
from onward.server.metrics import Metrics
from onward.server.uploads.checks import Later
from onward.server.uploads.engine import Engine
from onward.storage.base import Full, StorageError

PROBE_WAIT = 2.0  # seconds that the state and the storage may take to answer, at the same time
PROBE_STAYS = 1.0  # seconds for which an answer is repeated, so that many requests cost no more than one
CHECKS = "check of files"
log = logging.getLogger("onward")
Fault = StorageError | StorageFull | Later


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found, in sentences. With `faults` no upload can be finished; with `full` only new bytes are refused.

    With `unchecked`, files can't be judged by a check at the moment.
    """

    faults: tuple[str, ...] = ()
    full: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.faults:
            return f"not ready: {' '.join((*self.faults, *self.full, *self.unchecked))}"
        but = (("full", self.full), ("files can't be checked", self.unchecked))
        return "ready" + "".join(f", but {what}: {' '.join(words)}" for what, words in but if words)


@dataclass(slots=True)
class Health:
    """Probes whether uploads can be taken and finished, and keeps the last answer for PROBE_STAYS seconds."""

    engine: Engine
    metrics: Metrics
    stopping: bool = False
    _seen: _Seen = _Seen()
    _looked: float = -PROBE_STAYS
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _probes: dict[str, asyncio.Future[Fault | None]] = field(default_factory=dict)

    async def check(self) -> str:
        """Return the answer of a server that is ready, and what it lacks; raises Unavailable if it is not.

        A server without room is ready: clients must reach it to delete uploads, and to download. So is one whose checks
        can't judge at the moment: it takes uploads, and finishes them later.
        """
        if self.stopping:
            raise Unavailable("The server is stopping.")
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._looked >= PROBE_STAYS:
                seen, self._seen = self._seen, await self._look()
                self._looked = asyncio.get_running_loop().time()
                self._note(seen)
        if self._seen.faults:
            raise Unavailable(" ".join(self._seen.faults))
        return str(self._seen)

    async def _look(self) -> _Seen:
        storage = self.engine.records.storage
        probes = {"state": storage.state.probe, "storage": self._probe_storage, CHECKS: self.engine.checks.probe}
        for what, probe in probes.items():
            if what not in self._probes or self._probes[what].done():
                self._probes[what] = asyncio.ensure_future(_fault_of(probe()))
        await asyncio.wait(self._probes.values(), timeout=PROBE_WAIT)
        faults: list[str] = []
        full: list[str] = []
        unchecked: list[str] = []
        for what, running in self._probes.items():
            if not running.done():  # it can't be cancelled, so the next look waits for it again
                (unchecked if what == CHECKS else faults).append(f"The {what} does not answer.")
            elif isinstance(fault := running.result(), Later):
                unchecked.append(f"{str(fault).rstrip('.')}.")
            elif fault:
                (full if isinstance(fault, Full | StorageFull) else faults).append(
                    f"The {what} says: {str(fault).rstrip('.')}."
                )
        return _Seen(tuple(faults), tuple(full), tuple(unchecked))

    async def _probe_storage(self) -> None:
        storage = self.engine.records.storage
        await storage.nodes.probe()
        await storage.blobs.probe()
        await self.engine.reserve.check()

    def _note(self, before: _Seen) -> None:
        """Log a change of the answer."""
        if self._seen == before:
            return
        log.log(logging.INFO if self._seen == _Seen() else logging.WARNING, "%s", self._seen)


async def _fault_of(probe: Awaitable[None]) -> Fault | None:
    try:
        await probe
    except (StorageError, StorageFull, Later) as fault:
        return fault
    return None


HEALTH: web.AppKey[Health] = web.AppKey("health", Health)


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="alive\n")


async def _readyz(request: web.Request) -> web.Response:
    return await _ready(request.app[HEALTH])


async def _ready(health: Health) -> web.Response:
    return web.Response(text=f"{await health.check()}\n", headers={"Cache-Control": "no-store"})


async def _metrics(request: web.Request) -> web.Response:
    await check_token(request, Act.METRICS)
    return await _told(request.app[HEALTH])


async def _told(health: Health) -> web.Response:
    return web.Response(body=await health.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def add_health(app: web.Application) -> None:
    """Add the routes /healthz, /readyz and /metrics, unless they have a listener of their own (--ops-listen)."""
    if not app[CONFIG].ops_listen:
        app.router.add_get("/healthz", _healthz)
        app.router.add_get("/readyz", _readyz)
        app.router.add_get("/metrics", _metrics)


def build_ops(app: web.Application) -> web.Application:
    """Build the application of --ops-listen: the same three routes, of a server that has started, without tokens."""

    async def readyz(_: web.Request) -> web.Response:
        try:
            return await _ready(app[HEALTH])
        except Unavailable as fault:
            return web.Response(status=503, text=f"{fault.detail}\n", headers={"Cache-Control": "no-store"})

    async def metrics(_: web.Request) -> web.Response:
        return await _told(app[HEALTH])

    ops = web.Application()
    ops.router.add_get("/healthz", _healthz)
    ops.router.add_get("/readyz", readyz)
    ops.router.add_get("/metrics", metrics)
    return ops
