"""The clock of a machine is set under a running server: nothing expires by that, and nothing waits for it."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import redis
import tus
from fake_clock import FakeClock
from onward_process import onward
from redis_process import redis_server
from watcher import Watcher

DAY, YEARS = 86400, 3 * 365 * 86400
SWEEPS = ["--sweep-every=0.1", "--quiet-after=0.3"]


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    """A clock to set."""
    return FakeClock(tmp_path / "clock")


async def told(watcher: Watcher, status: str) -> None:
    """Wait until a status is told."""
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
async def test_a_step_keeps_nobody_from_being_told_that_an_upload_is_paused(
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
async def test_a_step_of_the_clock_of_redis_expires_nothing(
    by: int, http: aiohttp.ClientSession, clock: FakeClock, tmp_path: Path
) -> None:
    options = [*SWEEPS, "--expire-after=3600"]
    with redis_server(tmp_path, env=clock.environment) as state:
        async with (
            onward(tmp_path / "data", state.url, options) as a,
            onward(tmp_path / "data", state.url, options) as b,
        ):
            urls = [await tus.create(http, server.url, 1000) for server in (a, b)]
            for url in urls:
                assert (await tus.patch(http, url, 0, bytes(500))).status == 204
            clock.set(by)
            for server in (a, b):
                for url in urls:
                    assert await tus.offset(http, f"{server.url}/{url.rpartition('/')[2]}") == 500
            await asyncio.sleep(2)
            for server, url in zip((b, a), urls, strict=True):
                there = f"{server.url}/{url.rpartition('/')[2]}"
                assert await tus.offset(http, there) == 500
                assert (await tus.patch(http, there, 500, bytes(500))).status == 204


async def test_the_lease_of_a_dead_node_runs_out_though_the_clock_of_redis_was_set_back(
    http: aiohttp.ClientSession, clock: FakeClock, tmp_path: Path
) -> None:
    with redis_server(tmp_path, env=clock.environment) as state:
        async with onward(tmp_path / "data", state.url) as dead, onward(tmp_path / "data", state.url) as other:
            url = await tus.create(http, dead.url, 2**20)
            sending = asyncio.create_task(tus.patch(http, url, 0, endless()))
            with redis.Redis(port=state.port) as client:
                async with asyncio.timeout(20):
                    while not list(client.scan_iter("*:lease")):  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
            await dead.kill9()
            with pytest.raises(aiohttp.ClientError):
                await sending
            clock.set(-DAY)
            there = f"{other.url}/{url.rpartition('/')[2]}"
            async with asyncio.timeout(30):
                while (await tus.head(http, there)).status != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
