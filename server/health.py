"""What operators ask: alive, ready, and how much of everything (Prometheus)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from protocol.errors import Unavailable
from server.engine import Engine
from storage.base import StorageError

PROBE_WAIT = 2.0  # seconds that state and storage may take to answer
PROBE_STAYS = 1.0  # seconds that an answer is told again, so that many who ask cost no more than one


class _Counts(Collector):
    """What an engine has counted, read when somebody asks."""

    def __init__(self, engine: Engine, watchers: Callable[[], int]) -> None:
        self._engine, self._watchers = engine, watchers

    def collect(self) -> Iterator[Metric]:
        ended = CounterMetricFamily("onward_uploads_ended", "Uploads by how they ended.", labels=["how"])
        for how, count in self._engine.ledger.counts.items():
            ended.add_metric([how], count)
        yield ended
        yield CounterMetricFamily("onward_received_bytes", "Bytes stored.", value=self._engine.received)
        yield GaugeMetricFamily("onward_running", "Bodies and joins under way.", value=self._engine.running)
        yield GaugeMetricFamily("onward_watchers", "Who watches over WebSockets and events.", value=self._watchers())


@dataclass(slots=True)
class _Probe:
    """Whether state and storage answered, when it was last looked."""

    engine: Engine
    stopping: bool = False
    _fault: str = ""
    _seen: float = -PROBE_STAYS
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _probes: dict[str, asyncio.Future[StorageError | None]] = field(default_factory=dict)

    async def check(self) -> None:
        """Refuse where uploads can't be taken; raises Unavailable."""
        if self.stopping:
            raise Unavailable("The server is stopping.")
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._seen >= PROBE_STAYS:
                self._fault = await self._look()
                self._seen = asyncio.get_running_loop().time()
        if self._fault:
            raise Unavailable(self._fault)

    async def _look(self) -> str:
        storage = self.engine.ledger.storage
        for what, probe in (("state", storage.state.probe), ("storage", storage.blobs.probe)):
            running = self._probes.pop(what, None)
            if running is None or running.done():
                running = asyncio.ensure_future(_fault_of(probe()))
            await asyncio.wait({running}, timeout=PROBE_WAIT)
            if not running.done():  # it can't be broken off, and is looked at the next time
                self._probes[what] = running
            if not running.done() or running.result():
                return f"The {what} does not answer."
        return ""


async def _fault_of(probe: Awaitable[None]) -> StorageError | None:
    try:
        await probe
    except StorageError as fault:
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
        await probe.check()
        return web.Response(text="ready\n", headers={"Cache-Control": "no-store"})

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def stop(_: web.Application) -> None:
        probe.stopping = True

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    app.on_shutdown.insert(0, stop)
