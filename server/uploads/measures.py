"""What one process counts and times for /metrics: plain numbers in memory, which cost a request next to nothing.

`UploadRecords` (records.py) has the measures of a server; the HTTP layer notes requests there too. `server/metrics.py`
makes the text for Prometheus of them, and adds up those of several workers.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import TypeVar

T = TypeVar("T")
REQUEST_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
STORE_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZE_BOUNDS = tuple(2.0**power for power in range(10, 42, 3))  # 1 KiB to 1 TiB
DURATION_BOUNDS = (0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS")  # all others are counted together
OTHER = "other"
# The timed operations of the stores: a pair of the store and what it was asked to do.
INSERT, SAVE, LOAD = ("state", "insert"), ("state", "save"), ("state", "load")
CREATE, SYNC, PUBLISH, REMOVE = ("blobs", "create"), ("blobs", "sync"), ("blobs", "publish"), ("blobs", "remove")
OPERATIONS = (INSERT, SAVE, LOAD, CREATE, SYNC, PUBLISH, REMOVE)


class Histogram:
    """How many values were up to each bound; `counts` has one number more than there are bounds, for larger values."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Measures:
    """The numbers of one process since its start; times in seconds, sizes in bytes."""

    def __init__(self) -> None:
        self.created = 0
        self.sizes, self.durations = Histogram(SIZE_BOUNDS), Histogram(DURATION_BOUNDS)
        self.requests: Counter[tuple[str, int]] = Counter()  # by method and status
        self.latencies = {method: Histogram(REQUEST_BOUNDS) for method in (*METHODS, OTHER)}
        self.stores = {operation: Histogram(STORE_BOUNDS) for operation in OPERATIONS}

    def note_request(self, method: str, status: int, seconds: float | None) -> None:
        """Count a request that was answered; `seconds` is None for a watcher, which stays as long as it likes."""
        if method not in self.latencies:
            method = OTHER
        self.requests[method, status] += 1
        if seconds is not None:
            self.latencies[method].observe(seconds)

    async def time(self, operation: tuple[str, str], work: Awaitable[T]) -> T:
        """Wait for what a store was asked to do, and note how long it took, also if it fails."""
        began = time.monotonic()
        try:
            return await work
        finally:
            self.stores[operation].observe(time.monotonic() - began)
