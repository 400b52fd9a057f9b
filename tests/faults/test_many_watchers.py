"""A crowd that watches one upload, some of it without ever reading: who reads gets the final message, the others are
dropped, and nothing stays behind. How fast, and what it costs: tests/benchmarks/watchers.py."""

import asyncio
import gc
import json
import os
import sys
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from aiohttp import web

from onward.server.app import create_app, create_runner
from onward.server.config import Config
from onward.server.http.transport.connection import Connection
from onward.server.watch import subscriber
from onward.server.watch.broadcast import Topic
from onward.server.watch.routes import BROADCAST
from onward.server.watch.subscriber import Subscriber
from onward.storage.base import Durability
from onward.storage.state.hub import Mailbox

CROWD = Path(__file__).resolve().parents[1] / "support" / "watcher_crowd.py"
HEALTHY, STUCK, EVENTS = 285, 15, 28
SIZE = 2**20
SEND_WAIT = 4.0
PATIENCE = 60.0


def alive() -> Counter[type]:
    """Count what there is of each kind of thing that a watcher needs."""
    gc.collect()
    kinds = (Subscriber, Topic, Mailbox, Connection, web.WebSocketResponse)
    return Counter(type(each) for each in gc.get_objects() if isinstance(each, kinds))


async def test_all_who_read_get_the_end_and_nothing_stays_behind(
    http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber, "SEND_WAIT", SEND_WAIT)
    config = Config(data=str(tmp_path / "data"), state="memory:", durability=Durability.NONE, quiet_after=600.0)
    app = create_app(config)
    runner = create_runner(app, config)
    await runner.setup()
    broadcast = app[BROADCAST]
    crowd = None
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        url = await tus.create(http, f"http://127.0.0.1:{port}/files", SIZE)
        offset = 1
        assert (await tus.patch(http, url, 0, b"x")).status == 204
        await asyncio.sleep(0.1)
        before, tasks = alive(), len(asyncio.all_tasks())
        words = (str(port), f"/files/{url.rpartition('/')[2]}/progress", str(HEALTHY), str(STUCK))
        crowd = await asyncio.create_subprocess_exec(sys.executable, CROWD, *words, stdout=asyncio.subprocess.PIPE)
        assert crowd.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert await crowd.stdout.readline() == b"ready\n"
            while len(broadcast.watchers) < HEALTHY + STUCK:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            while len(broadcast.watchers) > HEALTHY:
                assert (await tus.patch(http, url, offset, b"x")).status == 204
                offset += 1
                await asyncio.sleep(0.05)
        assert (await tus.patch(http, url, offset, os.urandom(SIZE - offset))).status == 204
        async with asyncio.timeout(PATIENCE):
            report = json.loads(await crowd.stdout.readline())
            assert await crowd.wait() == 0
            while alive() != before or len(asyncio.all_tasks()) > tasks:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    finally:
        if crowd is not None and crowd.returncode is None:
            crowd.kill()
            await crowd.wait()
        await runner.cleanup()
    assert report["ends"] == {"completed 1000": HEALTHY - EVENTS, "completed 200": EVENTS}
    assert len(report["dropped"]) == STUCK
    assert report["backwards"] == 0
    assert not broadcast.watchers
