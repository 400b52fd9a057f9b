"""Two servers over one Redis and one data folder, each with its own connection to Redis, and a probe of both."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from onward_process import OnwardProcess
from redis_process import RedisProcess, redis_at, redis_server
from unreliable_proxy import RoughLine

OPTIONS = ("--enable-debug-command", "local", "--repl-diskless-sync-delay", "0")
LOOK = 0.1  # seconds between two looks


@dataclass
class Group:
    """What a fault may strike. `ready` holds what /readyz of each server has told."""

    http: aiohttp.ClientSession
    redis: RedisProcess
    replica: RedisProcess | None
    lines: list[RoughLine]
    nodes: list[OnwardProcess]
    ready: list[list[bool]] = field(default_factory=lambda: [[], []])

    async def look(self, index: int) -> None:
        """Ask a server for ever whether it is ready."""
        url = self.nodes[index].url.removesuffix("/files") + "/readyz"
        while True:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with self.http.get(url, timeout=aiohttp.ClientTimeout(10)) as answer:
                    assert answer.status in (200, 503)
                    self.ready[index].append(await answer.text() == "ready\n")  # a full Redis is said, with 200
            await asyncio.sleep(LOOK)

    async def until_ready(self, within: float) -> None:
        """Wait until both servers tell so again."""
        for told in self.ready:
            told.append(False)
        async with asyncio.timeout(within):
            while not all(told[-1] for told in self.ready):  # noqa: ASYNC110
                await asyncio.sleep(LOOK)


@asynccontextmanager
async def redis_group(folder: Path, *, replicated: bool = False, options: Sequence[str] = ()) -> AsyncIterator[Group]:
    """Run a group of its own."""
    async with AsyncExitStack() as stack:
        (folder / "redis").mkdir()
        redis = stack.enter_context(redis_server(folder / "redis", *OPTIONS))
        replica = None
        if replicated:
            (folder / "replica").mkdir()
            replica = stack.enter_context(redis_server(folder / "replica", "--replicaof", f"127.0.0.1 {redis.port}"))
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)))
        lines = [await stack.enter_async_context(RoughLine(redis.port).running()) for _ in range(2)]
        nodes = [OnwardProcess(folder / "data", redis_at(line.port), options) for line in lines]
        for node in nodes:
            stack.push_async_callback(_end, node)
        await asyncio.gather(*(node.start() for node in nodes))
        group = Group(http, redis, replica, lines, nodes)
        looks = [asyncio.create_task(group.look(index)) for index in range(2)]
        try:
            yield group
        finally:
            for look in looks:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)


async def _end(node: OnwardProcess) -> None:
    if node.running:
        await node.kill9()
