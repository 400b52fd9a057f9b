"""Clients of Redis: of one server, of one that Sentinels name, of a cluster.

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
from redis.exceptions import AuthenticationError, RedisClusterException, RedisError, ResponseError

FAULTS = (RedisError, RedisClusterException, OSError, asyncio.IncompleteReadError)
CONNECTIONS = 64
NO_RETRY = Retry(NoBackoff(), 0)  # of a Sentinel: there are others
MOST = 4096  # connections, where the library has no pool that waits for one


def connect(url: str, connections: int = CONNECTIONS) -> "aioredis.Redis":
    """Give a client with short time-outs: a lost answer is asked for again, a dead server is told within seconds."""
    waits = {"socket_timeout": 2, "socket_connect_timeout": 1}
    retry = Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), 3)
    parts = urlsplit(url)
    words: dict[str, Any] = {**waits, "retry": retry, "max_connections": MOST}
    for name in ("username", "password"):
        if value := getattr(parts, name):
            words[name] = unquote(value)
    match parts.scheme:
        case "redis+sentinel":
            service, _, db = parts.path.strip("/").partition("/")
            sentinels = Sentinel(_hosts(parts.netloc, 26379), sentinel_kwargs={**waits, "retry": NO_RETRY})  # type: ignore[no-untyped-call]
            return cast("aioredis.Redis", sentinels.master_for(service, db=int(db or 0), **words))
        case "redis+cluster":
            nodes = [ClusterNode(host, port) for host, port in _hosts(parts.netloc, 6379)]
            return cast("aioredis.Redis", RedisCluster(startup_nodes=nodes, **words))
        case _:
            pool = aioredis.BlockingConnectionPool.from_url(
                url, max_connections=connections, timeout=5, retry=retry, **waits
            )
            return aioredis.Redis.from_pool(pool)


def refusal(fault: BaseException | None, script: str = "") -> str:
    """Say why a server refuses a command, in its own words; of one that does not answer nothing else is said.

    Of a script it names nothing but the line that failed.
    """
    if not isinstance(fault, ResponseError | AuthenticationError):
        return "Redis does not answer"
    said = str(fault).partition(" script: ")[0].rstrip(".")
    line = re.search(r"user_script: ?(\d+)", str(fault))
    command = re.search(r"'(\w+)'", script.splitlines()[int(line[1]) - 1]) if line and script else None
    return f"Redis refuses{f' {command[1]}' if command else ''}: {said}"


def _hosts(netloc: str, port: int) -> list[tuple[str, int]]:
    """Read hosts and ports."""
    urls = [urlsplit(f"//{each}") for each in netloc.rpartition("@")[2].split(",")]
    return [(url.hostname or "", url.port or port) for url in urls]
