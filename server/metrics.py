"""The metrics of a server as Prometheus reads them: what is told, and how the numbers of several workers are added up.

`server/health.py` answers /metrics with `Metrics.text`. Each process counts in memory (server/uploads/measures.py).
With `--workers` each also writes its numbers once a second into memory that all share (server/shared_numbers.py), and
the worker that answers adds up its own and what the others have written.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from math import inf
from platform import python_version
from typing import Any, TypeVar, cast

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from onward.protocol.model import CHECKSUM_MISMATCH, LOST, Status
from onward.server.events.delivery import Delivery
from onward.server.shared_numbers import Numbers, SharedNumbers
from onward.server.uploads.engine import Engine
from onward.server.uploads.measures import Histogram
from onward.storage.base import OutboxCounts, Room, StorageError

T = TypeVar("T")
WAIT = 2.0  # seconds that the state and the storage may take to answer
OPEN_STAYS = 15.0  # seconds for which the counts of unfinished uploads are repeated
SHARE_EVERY = 1.0  # seconds between two times that a worker tells its numbers
RUNNING, WATCHERS = "onward_running", "onward_watchers"
OF_NOW = frozenset({RUNNING, WATCHERS})  # numbers of now, which end with their process
# What each process counts: the name, what it is, and the names of its labels. A histogram has `le` as its last label.
COUNTERS = {
    "onward_uploads_created": ("Uploads that were created.", ()),
    "onward_uploads_ended": ("Uploads by how they ended.", ("how",)),
    "onward_received_bytes": ("Bytes stored.", ()),
    "onward_checks": ("Checks by their outcome.", ("check", "outcome")),
    "onward_http_requests": ("Requests that were answered.", ("method", "code")),
    "onward_events_delivered": ("Events that were taken.", ()),
    "onward_events_failed": ("Events that were given up.", ()),
}
HISTOGRAMS = {
    "onward_http_request_seconds": ("Time from the head of a request to its answer, without watchers.", ("method",)),
    "onward_upload_size_bytes": ("Sizes of completed uploads.", ()),
    "onward_upload_seconds": ("Time from the creation of completed uploads to their end.", ()),
    "onward_store_seconds": ("Time that the stores took.", ("store", "operation")),
}
GAUGES = {RUNNING: "Bodies and joins under way.", WATCHERS: "Watchers of uploads."}
# What is told even if it never happened, so that Prometheus sees the first time as an increase from 0.
ENDS = ("completed", "terminated", "expired", LOST.code, CHECKSUM_MISMATCH.code)
OUTCOMES = ("passed", "rejected", "held", "unjudged")
SUM = "sum"  # in the place of `le`: the sum of the values of a histogram


def software_version() -> str:
    """Return the version of the software that is installed."""
    try:
        return version("onward")
    except PackageNotFoundError:  # run from the source without an installation
        return "(not installed)"


class Metrics:
    """The numbers of a server; `shared` has those of its other workers, if there are any."""

    def __init__(
        self,
        engine: Engine,
        watchers: Callable[[], int],
        delivery: Delivery | None = None,
        shared: SharedNumbers | None = None,
    ) -> None:
        self._engine, self._watchers, self._delivery, self._shared = engine, watchers, delivery, shared
        self._asking: dict[Callable[[], object], asyncio.Future[Any]] = {}
        self._counted = -inf
        self._open: Mapping[Status, int] = {}

    async def share_for_ever(self) -> None:
        """Write the numbers of this worker where the others read them; ends at once in a single process."""
        while self._shared is not None:
            self._shared.write(self._numbers())
            await asyncio.sleep(SHARE_EVERY)

    async def text(self) -> bytes:
        """Return everything in the text format of Prometheus, without what does not answer in time."""
        outbox, room, unfinished = await asyncio.gather(self._outbox(), self._room(), self._unfinished())
        registry = CollectorRegistry()
        registry.register(_Families([*self._counts(), *_shared_by_all(outbox, room, unfinished, self._now)]))
        return generate_latest(registry)

    def _now(self) -> float:
        return self._engine.records.clock()

    async def _outbox(self) -> OutboxCounts | None:
        return await self._ask(self._delivery.outbox.count) if self._delivery is not None else None

    async def _room(self) -> Room | None:
        return await self._ask(self._engine.records.storage.blobs.room)

    async def _unfinished(self) -> Mapping[Status, int]:
        """Return how many uploads are unfinished; asked for at most every OPEN_STAYS seconds."""
        now = asyncio.get_running_loop().time()
        if (
            now - self._counted >= OPEN_STAYS
            and (found := await self._ask(self._engine.records.count_open)) is not None
        ):
            self._open, self._counted = found, now
        return self._open

    async def _ask(self, question: Callable[[], Coroutine[None, None, T]]) -> T | None:
        """Return an answer of the state or the storage; None if it fails, or does not come within WAIT.

        A call to a disk that hangs can't be cancelled, so the next one who asks waits for the same answer.
        """
        asking = self._asking.get(question)
        if asking is None or asking.done():
            asking = self._asking[question] = asyncio.ensure_future(question())
        await asyncio.wait({asking}, timeout=WAIT)
        with suppress(StorageError):
            return cast("T", asking.result()) if asking.done() else None
        return None

    def _numbers(self) -> Numbers:
        """Return the numbers of this process, by their names and the values of their labels."""
        records, measures = self._engine.records, self._engine.records.measures
        numbers: Numbers = {
            ("onward_uploads_created",): measures.created,
            ("onward_received_bytes",): self._engine.received,
            (RUNNING,): self._engine.running,
            (WATCHERS,): self._watchers(),
        }
        for how in (*ENDS, *records.counts):
            numbers["onward_uploads_ended", how] = records.counts[how]
        for labels in (*product(self._engine.checks.names, OUTCOMES), *self._engine.checks.counts):
            numbers["onward_checks", *labels] = self._engine.checks.counts[labels]
        for (method, status), count in measures.requests.items():
            numbers["onward_http_requests", method, str(status)] = count
        if self._delivery is not None:
            numbers |= {(f"onward_events_{name}",): count for name, count in self._delivery.counts.items()}
        for method, latency in measures.latencies.items():
            if any(latency.counts):
                numbers |= _spread(latency, "onward_http_request_seconds", method)
        for operation, taken in measures.stores.items():
            numbers |= _spread(taken, "onward_store_seconds", *operation)
        numbers |= _spread(measures.sizes, "onward_upload_size_bytes")
        return numbers | _spread(measures.durations, "onward_upload_seconds")

    def _counts(self) -> Iterator[Metric]:
        """Yield what processes count, added up over all workers, and what each process takes of the system."""
        if self._shared is None:
            numbers = self._numbers()
            yield from ProcessCollector(registry=None).collect()
        else:
            self._shared.write(self._numbers())
            numbers = self._shared.total()
            yield from _processes(self._shared.processes())
        families: dict[str, Metric] = {}
        for name, (about, _) in COUNTERS.items():
            families[name] = Metric(name, about, "counter")
        for name, (about, _) in HISTOGRAMS.items():
            families[name] = Metric(name, about, "histogram")
        for name, about in GAUGES.items():
            families[name] = Metric(name, about, "gauge")
        for (name, *values), number in sorted(numbers.items(), key=lambda pair: pair[0][0]):
            if name in COUNTERS:
                labels = dict(zip(COUNTERS[name][1], values, strict=True))
                families[name].add_sample(f"{name}_total", labels, number)
            elif name in GAUGES:
                families[name].add_sample(name, {}, number)
        for name, (_, names) in HISTOGRAMS.items():
            _add_buckets(families[name], names, numbers)
        yield from (family for family in families.values() if family.samples)


class _Families(Collector):
    """Families that were made for one answer."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _spread(histogram: Histogram, name: str, *labels: str) -> Numbers:
    """Return the numbers of a histogram: how many values are in each bucket, and their sum."""
    bounds = (*map(str, histogram.bounds), "+Inf")
    counts = {(name, *labels, bound): count for bound, count in zip(bounds, histogram.counts, strict=True)}
    return {**counts, (name, *labels, SUM): histogram.sum}


def _add_buckets(family: Metric, names: tuple[str, ...], numbers: Numbers) -> None:
    """Add the samples of a histogram, whose buckets count all smaller values as well."""
    below: dict[tuple[str, ...], float] = {}
    for (name, *values), number in numbers.items():  # the bounds of each are in their order
        if name != family.name:
            continue
        *own, bound = values
        labels = dict(zip(names, own, strict=True))
        if bound == SUM:
            family.add_sample(f"{name}_count", labels, below[tuple(own)])
            family.add_sample(f"{name}_sum", labels, number)
        else:
            below[tuple(own)] = below.get(tuple(own), 0) + number
            family.add_sample(f"{name}_bucket", {**labels, "le": bound}, below[tuple(own)])


def _processes(workers: Mapping[int, int]) -> Iterator[Metric]:
    """Yield the usual metrics of processes, for each worker by itself; `workers` has their process ids by number."""
    families: dict[str, Metric] = {}
    for number, pid in workers.items():
        for found in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
            family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
            for sample in found.samples:
                family.add_sample(sample.name, {"worker": str(number)}, sample.value)
    yield from families.values()


def _shared_by_all(
    outbox: OutboxCounts | None, room: Room | None, unfinished: Mapping[Status, int], now: Callable[[], float]
) -> Iterator[Metric]:
    """Yield what is the same whichever server is asked, and is not to be added up over servers with one state."""
    info = Metric("onward_build_info", "The version of the software.", "gauge")
    info.add_sample("onward_build_info", {"version": software_version(), "python": python_version()}, 1)
    yield info
    waiting = Metric("onward_uploads_open", "Unfinished uploads of all servers by status.", "gauge")
    for status, count in unfinished.items():
        waiting.add_sample("onward_uploads_open", {"status": status}, count)
    yield waiting
    if room is not None:
        free = Metric("onward_free_bytes", "Free room for bytes that arrive, and for published files.", "gauge")
        free.add_sample("onward_free_bytes", {"folder": "partial"}, room.arriving)
        published = room.arriving if room.published is None else room.published
        free.add_sample("onward_free_bytes", {"folder": "files"}, published)
        yield free
    if outbox is not None:
        age = 0.0 if outbox.oldest is None else max(now() - outbox.oldest, 0.0)
        for name, about, value in (
            ("onward_events_waiting", "Events that wait.", outbox.waiting),
            ("onward_events_oldest_seconds", "Age of the oldest event that waits.", age),
        ):
            family = Metric(name, about, "gauge")
            family.add_sample(name, {}, value)
            yield family
