"""What operators ask: alive, ready, and how much of everything (Prometheus)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from onward.protocol.errors import StorageFull, Unavailable
from onward.server.uploads.engine import Engine
from onward.storage.base import Full, StorageError

PROBE_WAIT = 2.0  # seconds that state and storage may take to answer, side by side
PROBE_STAYS = 1.0  # seconds that an answer is told again, so that many who ask cost no more than one
log = logging.getLogger("onward")


class _Counts(Collector):
    """What an engine has counted, read when somebody asks."""

    def __init__(self, engine: Engine, watchers: Callable[[], int]) -> None:
        self._engine, self._watchers = engine, watchers

    def collect(self) -> Iterator[Metric]:
        ended = CounterMetricFamily("onward_uploads_ended", "Uploads by how they ended.", labels=["how"])
        for how, count in self._engine.records.counts.items():
            ended.add_metric([how], count)
        yield ended
        yield CounterMetricFamily("onward_received_bytes", "Bytes stored.", value=self._engine.received)
        yield GaugeMetricFamily("onward_running", "Bodies and joins under way.", value=self._engine.running)
        yield GaugeMetricFamily("onward_watchers", "Who watches over WebSockets and events.", value=self._watchers())


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is missing, in sentences: `faults` keep every upload from its end, `full` keeps out new bytes only."""

    faults: tuple[str, ...] = ()
    full: tuple[str, ...] = ()


@dataclass(slots=True)
class _Probe:
    """Whether uploads could be taken and finished, when it was last looked."""

    engine: Engine
    stopping: bool = False
    _seen: _Seen = _Seen()
    _looked: float = -PROBE_STAYS
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _probes: dict[str, asyncio.Future[StorageError | StorageFull | None]] = field(default_factory=dict)

    async def check(self) -> tuple[str, ...]:
        """Refuse where uploads can't be finished; raises Unavailable. Gives what there is no room for.

        A server without room is ready: it has to be asked for what can be removed, and for downloads.
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
        return self._seen.full

    async def _look(self) -> _Seen:
        storage = self.engine.records.storage
        probes = {"state": storage.state.probe, "storage": self._probe_storage}
        for what, probe in probes.items():
            if what not in self._probes or self._probes[what].done():
                self._probes[what] = asyncio.ensure_future(_fault_of(probe()))
        await asyncio.wait(self._probes.values(), timeout=PROBE_WAIT)
        faults: list[str] = []
        full: list[str] = []
        for what, running in self._probes.items():
            if not running.done():  # it can't be broken off, and is looked at the next time
                faults.append(f"The {what} does not answer.")
            elif fault := running.result():
                (full if isinstance(fault, Full | StorageFull) else faults).append(
                    f"The {what} says: {str(fault).rstrip('.')}."
                )
        return _Seen(tuple(faults), tuple(full))

    async def _probe_storage(self) -> None:
        await self.engine.records.storage.blobs.probe()
        await self.engine.reserve.check()

    def _note(self, before: _Seen) -> None:
        """Log a change, once."""
        if self._seen == before:
            return
        if missing := (*self._seen.faults, *self._seen.full):
            log.warning("%s: %s", "not ready" if self._seen.faults else "ready, but full", " ".join(missing))
        else:
            log.info("ready")


async def _fault_of(probe: Awaitable[None]) -> StorageError | StorageFull | None:
    try:
        await probe
    except (StorageError, StorageFull) as fault:
        return fault
    return None


def add_health(app: web.Application, engine: Engine, watchers: Callable[[], int]) -> None:
    """Add /healthz, /readyz and /metrics; `watchers` counts those of the progress routes."""
    probe = _Probe(engine)
    registry = CollectorRegistry()
    registry.register(_Counts(engine, watchers))

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        full = await probe.check()
        text = f"ready, but full: {' '.join(full)}\n" if full else "ready\n"
        return web.Response(text=text, headers={"Cache-Control": "no-store"})

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def stop(_: web.Application) -> None:
        probe.stopping = True

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    app.on_shutdown.insert(0, stop)
