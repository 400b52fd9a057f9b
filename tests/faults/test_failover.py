"""Sentinel and cluster: two servers share uploads, and go on when the primary dies and its replica takes over."""

import asyncio
import os
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from checking_watcher import Watcher
from onward_process import onward
from redis_kinds import redis_cluster, redis_with_sentinel
from redis_process import RedisProcess
from retrying_sender import Sender

LARGE, PAUSE = 2**21, 0.03
BOUND = 15.0  # seconds from the death of a primary until every upload is complete
KINDS = {"sentinel": redis_with_sentinel, "cluster": redis_cluster}


@pytest.mark.parametrize("kind", KINDS)
async def test_uploads_go_on_when_a_replica_takes_over(kind: str, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    running: AbstractAsyncContextManager[tuple[str, RedisProcess]] = KINDS[kind](tmp_path)
    async with (
        running as (url, primary),
        onward(tmp_path / "data", url) as a,
        onward(tmp_path / "data", url) as b,
        asyncio.TaskGroup() as tasks,
    ):
        sender = Sender(http, [a, b], os.urandom(LARGE), pause=PAUSE)
        await sender.create()
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
