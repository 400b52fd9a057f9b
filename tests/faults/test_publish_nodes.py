"""Two servers over one Redis, one data folder and one bucket: a file is published once, whoever falls asleep."""

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from onward_process import ROOT, OnwardProcess, onward
from published_files import MIB, outside
from redis_process import RedisProcess, redis_server
from s3_process import S3Process

ASLEEP = str(ROOT / "tests" / "support" / "suspended_server.py")
DATA = random.Random(9).randbytes(6 * MIB)
POINTS = ("publishing:1", "put:1")  # "placed:1", "published:1" and "dropping:1" hold as well
PATIENCE = 60.0
pytestmark = pytest.mark.slow


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server:
        yield server


async def send(http: aiohttp.ClientSession, url: str) -> int:
    """Send everything, and give the status; 0 where the connection was cut."""
    with suppress(aiohttp.ClientError):
        return (await tus.patch(http, url, 0, DATA)).status
    return 0


async def check(a: OnwardProcess, b: OnwardProcess, http: aiohttp.ClientSession) -> str:
    """Let A fall asleep while it publishes, B finish, and A wake up; gives the id of the upload."""
    await a.start()
    url = await tus.create(http, a.url, len(DATA))
    there = f"{b.url}/{url.rpartition('/')[2]}"
    sending = asyncio.create_task(send(http, url))
    async with asyncio.timeout(PATIENCE):
        while not a.is_stopped():  # noqa: ASYNC110 - it can't tell
            await asyncio.sleep(0.05)
        while (await tus.head(http, there)).status != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    async with http.get(there) as answer:
        assert await answer.read() == DATA
    async with http.get(f"{there}/progress") as answer:
        before = await answer.json()
    a.process.send_signal(signal.SIGCONT)
    assert await asyncio.wait_for(sending, 30) in (0, 204, 423, 503)
    async with http.get(f"{there}/progress") as answer:
        assert await answer.json() == before, "who was asleep changed the record"
    return url.rpartition("/")[2]


async def test_a_server_that_falls_asleep_while_it_publishes_changes_nothing(
    tmp_path: Path, redis: RedisProcess, versitygw: S3Process, http: aiohttp.ClientSession
) -> None:
    bucket = outside(versitygw)
    data = tmp_path / "data"
    async with onward(data, redis.url, bucket.options) as b:
        sleepers = [OnwardProcess(data, redis.url, bucket.options, program=(ASLEEP, point)) for point in POINTS]
        try:
            ids = await asyncio.gather(*(check(sleeper, b, http) for sleeper in sleepers))
        finally:
            for sleeper in sleepers:
                if sleeper.running:
                    await sleeper.kill9()
        assert bucket.keys() == set(ids)
        assert versitygw.multiparts(bucket.bucket) == []
        redis.flush()
        for id_ in ids:
            async with http.get(f"{b.url}/{id_}") as answer:
                assert answer.status == 200, await answer.text()
                assert await answer.read() == DATA
        assert "Traceback" not in b.log()
    assert os.listdir(data / "files") == []
