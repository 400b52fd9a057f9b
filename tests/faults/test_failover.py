"""Sentinel and cluster: two servers share uploads, and go on when the primary dies and its replica takes over."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from checking_watcher import Watcher
from onward_process import onward
from redis_kinds import redis_cluster, redis_with_sentinel
from redis_process import RedisProcess
from retrying_sender import Sender

from onward.protocol.model import UploadId
from onward.storage.state.redis.keys import keys_of

LARGE, PAUSE = 2**21, 0.03
BOUND = 15.0  # seconds from the death of a primary until every upload is complete
Running = tuple[str, Callable[[str], RedisProcess]]  # a URL, and what says which primary has a key


@asynccontextmanager
async def by_sentinel(folder: Path) -> AsyncIterator[Running]:
    async with redis_with_sentinel(folder) as (url, primary):
        yield url, lambda _key: primary


@asynccontextmanager
async def in_cluster(folder: Path) -> AsyncIterator[Running]:
    with redis_cluster(folder) as cluster:
        yield cluster.url, cluster.primary_of


KINDS = {"sentinel": by_sentinel, "cluster": in_cluster}


@pytest.mark.parametrize("kind", KINDS)
async def test_uploads_go_on_when_a_replica_takes_over(kind: str, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    running: AbstractAsyncContextManager[Running] = KINDS[kind](tmp_path)
    async with (
        running as (url, primary_of),
        onward(tmp_path / "data", url) as a,
        onward(tmp_path / "data", url) as b,
        asyncio.TaskGroup() as tasks,
    ):
        sender = Sender(http, [a, b], os.urandom(LARGE), pause=PAUSE)
        await sender.create()
        primary = primary_of(keys_of(UploadId(sender.id)).record)
        watcher = Watcher(sender.url(b))
        async with watcher.watching():
            sending = tasks.create_task(sender.finish())
            await watcher.until(2**18)
            primary.stop()
            began = time.monotonic()
            await asyncio.wait_for(sending, BOUND)
        print(f"{kind}: complete after {time.monotonic() - began:.1f} s", dict(sender.statuses), sender.lost)
        assert watcher.last["sha256"] == sender.sha256
        assert sender.statuses[503]
        assert (a.data / "files" / sender.id).read_bytes() == sender.data
        for node in (a, b):
            assert await tus.offset(http, sender.url(node)) == LARGE
            assert "Traceback" not in node.log(), node.log()
        primary.start()
