"""Clients of Redis, made from a URL: for one server, for one that Sentinels name, or for a cluster; and their errors.

redis://HOST:PORT/DB, rediss://…, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB, redis+cluster://HOST:PORT,HOST:PORT
"""

import asyncio
import re
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from redis import asyncio as aioredis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import AuthenticationError, OutOfMemoryError, RedisClusterException, RedisError, ResponseError

from onward.storage.base import Full, Unreachable
from onward.storage.failure_log import Reports

FAULTS = (RedisError, RedisClusterException, OSError, asyncio.IncompleteReadError)
CONNECTIONS = 64
NO_RETRY = Retry(NoBackoff(), 0)  # for a Sentinel: there are others to ask
MOST = 4096  # connections at most, with Sentinels and clusters: their pools do not wait for a free one, they raise


def connect(url: str, connections: int = CONNECTIONS) -> "aioredis.Redis":
    """Return a client with short time-outs and retries, so that a dead server is noticed within seconds."""
    waits = {"socket_timeout": 2, "socket_connect_timeout": 1}
    retry = Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), 3)
    parts = urlsplit(url)
    options: dict[str, Any] = {**waits, "retry": retry, "max_connections": MOST}
    for name in ("username", "password"):
        if value := getattr(parts, name):
            options[name] = unquote(value)
    match parts.scheme:
        case "redis+sentinel":
            service, _, db = parts.path.strip("/").partition("/")
            sentinels = Sentinel(_hosts(parts.netloc, 26379), sentinel_kwargs={**waits, "retry": NO_RETRY})  # type: ignore[no-untyped-call]
            return cast("aioredis.Redis", sentinels.master_for(service, db=int(db or 0), **options))
        case "redis+cluster":
            nodes = [ClusterNode(host, port) for host, port in _hosts(parts.netloc, 6379)]
            return cast("aioredis.Redis", RedisCluster(startup_nodes=nodes, **options))
        case _:
            pool = aioredis.BlockingConnectionPool.from_url(
                url, max_connections=connections, timeout=5, retry=retry, **waits
            )
            return aioredis.Redis.from_pool(pool)


class Mapped:
    """Turns the errors of Redis into those of the seams, in a `with`; with `reports`, they are also logged here.

    Every call passes through it, so it is a class, which costs less than a generator. It may be used again.
    """

    def __init__(self, reports: Reports | None = None) -> None:
        self._reports = reports

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Raise Full or Unreachable in place of an error of Redis or of the system."""
        if isinstance(error, OutOfMemoryError):
            raise Full(f"Redis: {error}") from error
        # RuntimeError, for example if no thread can be started to resolve a name
        if isinstance(error, (*FAULTS, RuntimeError)):
            unreachable = Unreachable(f"Redis: {error}")
            if self._reports is not None:
                self._reports.failed(error)
                unreachable.reported = True
            raise unreachable from error
        if error is None and self._reports is not None:
            self._reports.succeeded()


mapped = Mapped  # as a verb: `with mapped():`


def refusal(fault: BaseException | None, script: str = "") -> str:
    """Return why a server refuses a command, for people; or that it does not answer.

    If a line of `script` failed, only the command in that line is named.
    """
    if not isinstance(fault, ResponseError | AuthenticationError):
        return "Redis does not answer"
    reason = str(fault).partition(" script: ")[0].rstrip(".")
    line = re.search(r"user_script: ?(\d+)", str(fault))
    command = re.search(r"'(\w+)'", script.splitlines()[int(line[1]) - 1]) if line and script else None
    return f"Redis refuses{f' {command[1]}' if command else ''}: {reason}"


def _hosts(netloc: str, port: int) -> list[tuple[str, int]]:
    """Parse a list of hosts and ports."""
    urls = [urlsplit(f"//{each}") for each in netloc.rpartition("@")[2].split(",")]
    return [(url.hostname or "", url.port or port) for url in urls]
