"""/healthz, /readyz and /metrics: whether the server is alive, whether it can take uploads, and what it has counted.

Operators, load balancers and Prometheus ask every few seconds. `server/lifespan.py` makes the `Health` of an
application when it starts, and says when it stops.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from onward.protocol.errors import StorageFull, Unavailable
from onward.protocol.grants import Act
from onward.server.events.delivery import Delivery
from onward.server.http.access import check_token
from onward.server.uploads.checks import Later
from onward.server.uploads.engine import Engine
from onward.storage.base import Full, OutboxCounts, StorageError

PROBE_WAIT = 2.0  # seconds that the state and the storage may take to answer, at the same time
PROBE_STAYS = 1.0  # seconds for which an answer is repeated, so that many requests cost no more than one
CHECKS = "check of files"
log = logging.getLogger("onward")
Fault = StorageError | StorageFull | Later


class _Counts(Collector):
    """The counts of an engine, read when Prometheus asks."""

    def __init__(self, engine: Engine, watchers: Callable[[], int], delivery: Delivery | None) -> None:
        self._engine, self._watchers, self._delivery = engine, watchers, delivery
        self.outbox: OutboxCounts | None = None  # None if nobody wants events, or the state did not answer

    def collect(self) -> Iterator[Metric]:
        ended = CounterMetricFamily("onward_uploads_ended", "Uploads by how they ended.", labels=["how"])
        for how, count in self._engine.records.counts.items():
            ended.add_metric([how], count)
        yield ended
        checks = CounterMetricFamily("onward_checks", "Checks by their outcome.", labels=["check", "outcome"])
        for labels, count in self._engine.checks.counts.items():
            checks.add_metric(labels, count)
        yield checks
        yield CounterMetricFamily("onward_received_bytes", "Bytes stored.", value=self._engine.received)
        yield GaugeMetricFamily("onward_running", "Bodies and joins under way.", value=self._engine.running)
        yield GaugeMetricFamily("onward_watchers", "Watchers of uploads.", value=self._watchers())
        if self._delivery is not None:
            delivered, failed = self._delivery.counts["delivered"], self._delivery.counts["failed"]
            yield CounterMetricFamily("onward_events_delivered", "Events that were taken.", value=delivered)
            yield CounterMetricFamily("onward_events_failed", "Events that were given up.", value=failed)
        if self.outbox is not None:
            age = 0.0 if self.outbox.oldest is None else max(self._engine.records.clock() - self.outbox.oldest, 0.0)
            yield GaugeMetricFamily("onward_events_waiting", "Events that wait.", value=self.outbox.waiting)
            yield GaugeMetricFamily("onward_events_oldest_seconds", "Age of the oldest event that waits.", value=age)


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
    watchers: Callable[[], int]  # how many requests watch uploads
    delivery: Delivery | None = None  # None if nobody wants events
    stopping: bool = False
    _seen: _Seen = _Seen()
    _looked: float = -PROBE_STAYS
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _counts: _Counts = field(init=False)
    _registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    _probes: dict[str, asyncio.Future[Fault | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._counts = _Counts(self.engine, self.watchers, self.delivery)
        self._registry.register(self._counts)

    async def metrics(self) -> bytes:
        """Return the counts in the text format of Prometheus; without those of the outbox if it does not answer."""
        self._counts.outbox = None
        if self.delivery is not None:
            with suppress(StorageError, TimeoutError):
                async with asyncio.timeout(PROBE_WAIT):
                    self._counts.outbox = await self.delivery.outbox.count()
        return generate_latest(self._registry)

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
    text = await request.app[HEALTH].check()
    return web.Response(text=f"{text}\n", headers={"Cache-Control": "no-store"})


async def _metrics(request: web.Request) -> web.Response:
    await check_token(request, Act.METRICS)
    return web.Response(body=await request.app[HEALTH].metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def add_health(app: web.Application) -> None:
    """Add the routes /healthz, /readyz and /metrics."""
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)
