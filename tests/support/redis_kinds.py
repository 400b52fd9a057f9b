"""Redis with a Sentinel, and as a cluster: each with replicas that take over when a primary dies."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from ports import free_port
from redis_process import RedisProcess, redis_server, require

WITHIN = 15.0


def _servers(stack: ExitStack, folder: Path, count: int, *options: str) -> list[RedisProcess]:
    found = []
    for number in range(count):
        place = folder / f"redis{number}"
        place.mkdir(parents=True)
        bus = ("--cluster-port", str(free_port())) if "--cluster-enabled" in options else ()
        found.append(stack.enter_context(redis_server(place, *options, *bus)))
    return found


@asynccontextmanager
async def redis_with_sentinel(folder: Path) -> AsyncIterator[tuple[str, RedisProcess]]:
    """Run a primary, a replica and a Sentinel that promotes it within seconds; gives the URL and the primary."""
    with ExitStack() as stack:
        (primary,) = _servers(stack, folder / "primary", 1, "--repl-diskless-sync-delay", "0")
        (replica,) = _servers(stack, folder / "replica", 1, "--replicaof", f"127.0.0.1 {primary.port}")
        await asyncio.to_thread(_until_synced, replica)
        port = free_port()
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor onward 127.0.0.1 {primary.port} 1\n"
            "sentinel down-after-milliseconds onward 800\nsentinel failover-timeout onward 3000\n"
        )
        sentinel = await asyncio.create_subprocess_exec(
            require("redis-server"), str(config), "--sentinel", stdout=asyncio.subprocess.DEVNULL
        )
        try:
            await asyncio.sleep(1.5)  # a Sentinel asks its primary for replicas once it has heard from it
            yield f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/onward/0", primary
        finally:
            sentinel.kill()
            await sentinel.wait()


def _until(holds: Callable[[], bool]) -> None:
    for _ in range(int(WITHIN / 0.05)):
        if holds():
            return
        time.sleep(0.05)
    raise TimeoutError


def _until_synced(replica: RedisProcess) -> None:
    _until(lambda: replica.command("INFO", "replication")["master_link_status"] == "up")


class Cluster:
    """A cluster of three primaries; the first three of the servers, until one of their replicas takes over."""

    def __init__(self, servers: list[RedisProcess]) -> None:
        self.servers, self.primaries = servers, servers[:3]
        self.url = f"redis+cluster://127.0.0.1:{servers[0].port},127.0.0.1:{servers[1].port}"

    def primary_of(self, key: str) -> RedisProcess:
        """Return the server that has a key, as the cluster was made."""
        slot = self.servers[0].command("CLUSTER", "KEYSLOT", key)
        for first, last, (_, port, *_), *_ in self.servers[0].command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(server for server in self.servers if server.port == port)
        raise LookupError(key)

    def flush(self) -> None:
        """Empty all primaries."""
        for primary in self.primaries:
            primary.flush()

    def all_keys(self) -> list[set[str]]:
        """Return the keys that each primary has."""
        return [{key.decode() for key in primary.command("KEYS", "*")} for primary in self.primaries]


@contextmanager
def redis_cluster(folder: Path, *, replicas: int = 1) -> Iterator[Cluster]:
    """Run three primaries, each with so many replicas."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0")
    with ExitStack() as stack:
        servers = _servers(stack, folder / "cluster", 3 * (1 + replicas), *options)
        addresses = [f"127.0.0.1:{server.port}" for server in servers]
        words = ["--cluster", "create", *addresses, "--cluster-replicas", str(replicas), "--cluster-yes"]
        subprocess.run([require("redis-cli"), *words], check=True, capture_output=True, timeout=WITHIN)
        for replica in servers[3:]:
            _until_synced(replica)
        for server in servers:
            _until(lambda: b"cluster_state:ok" in server.command("CLUSTER", "INFO"))  # noqa: B023
        yield Cluster(servers)
