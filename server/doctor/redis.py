"""The doctor asks Redis for its version, its settings and its clock."""

import statistics
import time
from collections.abc import AsyncIterator
from typing import Any

from onward.server.doctor.finding import Finding, judge_clock
from onward.storage.state.redis.client import FAULTS, connect, refusal

ABOUT = "Redis"
LEAST_VERSION = (6, 2)
SLOW = 0.02  # seconds
PINGS = 9


async def look_at_redis(url: str) -> AsyncIterator[Finding]:
    """Yield what is found of Redis."""
    client = connect(url)
    try:
        info: dict[str, Any] = await client.info()
        for finding in _judged(url, info):
            yield finding
        took = []
        for _ in range(PINGS):
            begin = time.monotonic()
            await client.ping()
            took.append(time.monotonic() - begin)
        median = statistics.median(took)
        if median > SLOW:
            yield Finding(
                "warning",
                ABOUT,
                f"It takes {median * 1000:.0f} ms to answer, and each request waits for it: put it nearer.",
            )
        else:
            yield Finding("ok", ABOUT, f"It answers in {median * 1000:.1f} ms.")
        seconds, micros = await client.time()
        yield judge_clock("Redis", time.time() - seconds - micros / 1e6)
    except FAULTS as fault:
        yield Finding("problem", ABOUT, f"{refusal(fault)} ({fault}): check the URL, the password, and that it runs.")
    finally:
        await client.aclose()


def _judged(url: str, info: dict[str, Any]) -> list[Finding]:
    if url.startswith("redis+cluster:"):
        info = next(iter(info.values())) if isinstance(next(iter(info.values())), dict) else info
    found = []
    version = str(info.get("redis_version", "0.0"))
    if tuple(map(int, version.split(".")[:2])) < LEAST_VERSION:
        found.append(Finding("warning", ABOUT, f"Its version is {version}; use 6.2 or newer."))
    else:
        found.append(Finding("ok", ABOUT, f"Its version is {version}."))
    if (policy := info.get("maxmemory_policy")) != "noeviction":
        found.append(
            Finding(
                "problem",
                ABOUT,
                f"maxmemory-policy is {policy}, so it may drop records of uploads: CONFIG SET "
                "maxmemory-policy noeviction",
            )
        )
    if not info.get("aof_enabled"):
        found.append(
            Finding(
                "warning",
                ABOUT,
                "appendonly is off: after a restart all records are read from their copies, and "
                "waiting webhooks are lost; set appendonly yes.",
            )
        )
    if info.get("cluster_enabled") and not url.startswith("redis+cluster:"):
        found.append(Finding("problem", ABOUT, "It is a cluster: write the URL as redis+cluster://…"))
    return found
