"""The clock of a machine is set under a running server: nothing expires by that, and nothing waits for it."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from checking_watcher import Watcher
from fake_clock import FakeClock
from onward_process import onward
from redis_process import RedisProcess
from slow_body import SlowBody

from onward.protocol.model import AppendRequest, CreateRequest, Limits, Status, UploadId
from onward.server.uploads.engine import Engine
from onward.storage import open_storage
from onward.storage.state.redis.keys import keys_of

DAY, YEARS = 86400, 3 * 365 * 86400
SWEEPS = ["--sweep-every=0.1", "--quiet-after=0.3"]


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    """A clock to set."""
    return FakeClock(tmp_path / "clock")


async def told(watcher: Watcher, status: str) -> None:
    """Wait until a status is reported."""
    async with asyncio.timeout(20):
        while not watcher.messages or watcher.last["status"] != status:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def endless() -> AsyncIterator[bytes]:
    """Send a little, and then nothing for long."""
    yield bytes(1000)
    await asyncio.sleep(60)


async def test_a_clock_that_is_set_forward_expires_no_upload(
    http: aiohttp.ClientSession, clock: FakeClock, tmp_path: Path
) -> None:
    clock.set(-YEARS)
    data = os.urandom(1000)
    async with onward(tmp_path / "data", "sqlite:", SWEEPS, clock.environment) as server:
        url, idle = [await tus.create(http, server.url, 1000) for _ in range(2)]
        part = await tus.part(http, server.url, b"a whole part")
        assert (await tus.patch(http, url, 0, data[:500])).status == 204
        clock.set(0)
        answers = [await tus.head(http, each) for each in (url, idle, part)]
        assert [(answer.status, answer.headers["Upload-Offset"]) for answer in answers] == [
            (200, "500"), (200, "0"), (200, "12"),
        ]  # fmt: skip
        async with asyncio.timeout(20):
            while "the clock was set by" not in server.log():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        assert await server.stop() == 0
        await server.start()  # it remembers no step: the records are right by themselves
        await asyncio.sleep(1)
        assert await tus.offset(http, url) == 500
        assert await tus.offset(http, idle) == 0
        assert (await tus.patch(http, url, 500, data[500:])).status == 204
        assert (await tus.final(http, server.url, [part])).status == 201
        assert (server.data / "files" / url.rpartition("/")[2]).read_bytes() == data


async def test_a_patch_right_after_the_step_goes_on(
    http: aiohttp.ClientSession, clock: FakeClock, tmp_path: Path
) -> None:
    options = ["--sweep-every=60", "--quiet-after=60"]
    async with onward(tmp_path / "data", "sqlite:", options, clock.environment) as server:
        url = await tus.create(http, server.url, 10)
        assert (await tus.patch(http, url, 0, b"12345")).status == 204
        clock.set(YEARS)
        assert (await tus.patch(http, url, 5, b"67890")).status == 204


@pytest.mark.parametrize("by", [YEARS, -YEARS])
async def test_a_step_keeps_no_watcher_from_hearing_that_an_upload_is_paused(
    by: int, http: aiohttp.ClientSession, clock: FakeClock, tmp_path: Path
) -> None:
    async with onward(
        tmp_path / "data", "sqlite:", ["--sweep-every=0.1", "--quiet-after=2"], clock.environment
    ) as server:
        url = await tus.create(http, server.url, 1000)
        watcher = Watcher(url)
        async with watcher.watching():
            assert (await tus.patch(http, url, 0, bytes(500))).status == 204
            await told(watcher, "uploading")
            clock.set(by)
            await told(watcher, "paused")
            assert (await tus.patch(http, url, 500, bytes(500))).status == 204


async def test_an_upload_that_nobody_paused_is_paused_after_a_step_back(
    http: aiohttp.ClientSession, clock: FakeClock, tmp_path: Path
) -> None:
    """The server was killed: only the sweep of the next one can find it, and by a time that lies in the future."""
    async with onward(tmp_path / "data", "sqlite:", ["--quiet-after=600"], clock.environment) as server:
        url = await tus.create(http, server.url, 1000)
        assert (await tus.patch(http, url, 0, bytes(500))).status == 204
        await server.kill9()
    async with onward(tmp_path / "data", "sqlite:", SWEEPS, clock.environment) as server:
        watcher = Watcher(f"{server.url}/{url.rpartition('/')[2]}")
        async with watcher.watching():
            await told(watcher, "uploading")
            clock.set(-DAY)
            await told(watcher, "paused")
            assert (await tus.patch(http, f"{server.url}/{url.rpartition('/')[2]}", 500, bytes(500))).status == 204


async def test_the_wrong_clock_of_one_node_expires_nothing_over_redis(
    http: aiohttp.ClientSession, redis_url: str, clock: FakeClock, tmp_path: Path
) -> None:
    options = [*SWEEPS, "--expire-after=3600"]
    clock.set(DAY)
    async with (
        onward(tmp_path / "data", redis_url, options) as right,
        onward(tmp_path / "data", redis_url, options, clock.environment) as wrong,
    ):
        urls = [await tus.create(http, server.url, 1000) for server in (right, wrong)]
        for url in urls:
            assert (await tus.patch(http, url, 0, bytes(500))).status == 204
        clock.set(-DAY)
        await asyncio.sleep(1)
        clock.set(YEARS)
        await asyncio.sleep(1)
        for server in (right, wrong):
            for url in urls:
                assert await tus.offset(http, f"{server.url}/{url.rpartition('/')[2]}") == 500
        assert "the clock was set" not in right.log() + wrong.log()


@pytest.mark.parametrize("by", [DAY, -DAY])
async def test_a_step_of_the_shared_clock_expires_nothing(
    by: int, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis itself can't be run with another clock: what it tells is changed on its way."""
    limits, ahead = Limits(expire_after=3600.0, quiet_after=0.3), 0.0
    engines: list[Engine] = []
    for _ in range(2):
        storage = await open_storage(state=redis_url, blobs="file:", data=tmp_path)
        real = storage.state.time

        async def time(real: Callable[[], Awaitable[float | None]] = real) -> float:
            return (await real() or 0.0) + ahead

        monkeypatch.setattr(storage.state, "time", time)
        engines.append(Engine(storage, limits, lease_wait=1))
        await engines[-1].records.ask_the_time()
    creation = CreateRequest(length=10, metadata=None, promised=None, body_size=0, has_body=False)
    first = AppendRequest(offset=0, length=None, promised=None, body_size=5)
    rest = AppendRequest(offset=5, length=None, promised=None, body_size=5)
    ids = [(await engine.create(creation)).id for engine in engines]
    for engine, id_ in zip(engines, ids, strict=True):
        await engine.append(id_, first, SlowBody([b"12345"]))
    ahead = by
    await engines[0].sweep.all()  # the other one has not noticed yet
    for engine in engines:
        for id_ in ids:
            assert (await engine.inspect(id_)).offset == 5
    await asyncio.sleep(0.4)
    for _ in range(2):
        for engine in engines:
            await engine.sweep.all()
    for engine, id_ in zip(engines, reversed(ids), strict=True):
        seen = await engine.inspect(id_)
        assert (seen.offset, seen.status) == (5, Status.PAUSED)
        assert seen.expires == pytest.approx(engine.records.clock() + 3600, abs=60)
        assert (await engine.append(id_, rest, SlowBody([b"67890"]))).status is Status.COMPLETED
    for engine in engines:
        await engine.close()


async def test_the_lease_of_a_dead_node_runs_out_though_the_clock_of_redis_was_set_back(
    http: aiohttp.ClientSession, redis_process: RedisProcess, redis_url: str, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", redis_url) as dead, onward(tmp_path / "data", redis_url) as other:
        url = await tus.create(http, dead.url, 2**20)
        sending = asyncio.create_task(tus.patch(http, url, 0, endless()))
        lease = keys_of(UploadId(url.rpartition("/")[2])).lease
        async with asyncio.timeout(20):
            while not redis_process.command("EXISTS", lease):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await dead.kill9()
        with pytest.raises(aiohttp.ClientError):
            await sending
        assert redis_process.command("PEXPIRE", lease, 1000 * DAY), "it is over already"  # as by a clock of yesterday
        there = f"{other.url}/{url.rpartition('/')[2]}"
        async with asyncio.timeout(30):
            while (await tus.head(http, there)).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
