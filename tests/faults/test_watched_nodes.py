"""Hundreds of uploads over two servers, each with a watcher on the one that it isn't sent to, and Redis killed in between."""

import asyncio
import os
import time
from collections.abc import Awaitable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import tus_requests as tus
from checking_watcher import Watcher
from onward_process import onward
from redis_process import redis_server
from retrying_sender import MAY_TRY_AGAIN, Sender

UPLOADS, SIZE = 500, 4096
EVERY_REMOVED = 10  # each tenth is terminated half-way
DOWN = 1.0  # seconds
DEAF = 10  # times that the servers lose their line to the bus
PATIENCE = 120.0
AT_ONCE = 20


async def in_turn(acts: Iterable[Awaitable[Any]]) -> None:
    """Do so many things, some at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(act: Awaitable[Any]) -> None:
        async with gate:
            await act

    await asyncio.gather(*(one(act) for act in acts))


async def check_head(http: aiohttp.ClientSession, url: str, watcher: Watcher) -> None:
    """Ask for an offset as often as it takes, and hold it against what the watcher was told before."""
    while True:
        floor = watcher.told
        answer = await tus.head(http, url)
        if answer.status == 200:
            assert int(answer.headers["Upload-Offset"]) >= floor, f"a watcher was told {floor}"
            return
        assert answer.status in MAY_TRY_AGAIN, answer.status
        await asyncio.sleep(0.2)


async def remove(http: aiohttp.ClientSession, url: str) -> None:
    """Terminate an upload, as often as it takes."""
    status = 503
    while status in MAY_TRY_AGAIN:
        async with http.delete(url, headers=tus.TUS) as answer:
            status = answer.status
        await asyncio.sleep(0.2 if status in MAY_TRY_AGAIN else 0)
    assert status in (204, 410)


async def test_every_watcher_ends_with_the_right_message(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(redis_server(tmp_path / "redis"))
        nodes = [await stack.enter_async_context(onward(tmp_path / "data", redis.url)) for _ in range(2)]
        senders = [
            Sender(http, [nodes[number % 2], nodes[1 - number % 2]], os.urandom(SIZE), ends=[SIZE // 2], gate=SIZE // 2)
            for number in range(UPLOADS)
        ]
        await in_turn(sender.create() for sender in senders)
        watchers = [Watcher(sender.url(nodes[1 - number % 2])) for number, sender in enumerate(senders)]
        for watcher in watchers:
            await stack.enter_async_context(watcher.watching(PATIENCE))
        began = time.monotonic()
        sending = [asyncio.create_task(sender.finish()) for sender in senders]
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(sender.waiting.wait() for sender in senders))
            await asyncio.gather(*(watcher.until(SIZE // 2, PATIENCE) for watcher in watchers))
        print(f"half-way after {time.monotonic() - began:.1f} s")
        removed = senders[::EVERY_REMOVED]
        for number in range(0, UPLOADS, EVERY_REMOVED):
            sending[number].cancel()
        redis.stop()
        for sender in senders[1::2]:
            sender.opened.set()  # the others stand still while Redis is down
        await asyncio.sleep(DOWN)
        await asyncio.to_thread(redis.start)
        async with asyncio.timeout(PATIENCE):
            await in_turn(
                check_head(http, sender.url(nodes[number % 2]), watchers[number])
                for number, sender in enumerate(senders)
                if sender not in removed
            )
            await in_turn(remove(http, sender.url(nodes[0])) for sender in removed)
            for sender in senders:
                sender.opened.set()
            for _ in range(DEAF):
                redis.command("CLIENT", "KILL", "TYPE", "pubsub")  # the last messages fall into gaps of the bus
                await asyncio.sleep(0.1)
            await asyncio.gather(*sending, return_exceptions=True)
        print(f"sent after {time.monotonic() - began:.1f} s")
    for sender, watcher in zip(senders, watchers, strict=True):
        last = watcher.last
        if sender in removed:
            assert (last["status"], last["uploadedBytes"]) == ("terminated", SIZE // 2)
        else:
            assert (last["status"], last["uploadedBytes"], last["sha256"]) == ("completed", SIZE, sender.sha256)
        assert watcher.close_code == 1000
        assert not watcher.refusals & {404, 410, 500}
    for node in nodes:
        assert "Traceback" not in node.log(), node.log()
