"""Redis with a Sentinel, and as a cluster: each with replicas that take over when a primary dies."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
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
        await _until_synced(replica)
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


async def _until_synced(replica: RedisProcess) -> None:
    async with asyncio.timeout(WITHIN):
        while replica.command("INFO", "replication")["master_link_status"] != "up":  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@asynccontextmanager
async def redis_cluster(folder: Path) -> AsyncIterator[tuple[str, RedisProcess]]:
    """Run three primaries with a replica each; gives the URL, and the primary that has our keys."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0")
    with ExitStack() as stack:
        servers = _servers(stack, folder / "cluster", 6, *options)
        addresses = [f"127.0.0.1:{server.port}" for server in servers]
        words = [require("redis-cli"), "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes"]
        await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True, timeout=WITHIN)
        for replica in servers[3:]:
            await _until_synced(replica)
        slot = servers[0].command("CLUSTER", "KEYSLOT", "{onward}")
        for first, last, (_, port, *_), *_ in servers[0].command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                primary = next(server for server in servers if server.port == port)
        yield f"redis+cluster://{addresses[0]},{addresses[1]}", primary
