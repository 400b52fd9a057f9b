"""An upload that nobody sends is told as paused, and no sooner."""

import asyncio
from pathlib import Path

import aiohttp
import tus_requests as tus
from checking_watcher import Watcher
from onward_process import onward

from onward.server.config import Config

NEVER = "--sweep-every=600"


async def told(watcher: Watcher, status: str) -> None:
    """Wait until a status is reported."""
    async with asyncio.timeout(20):
        while not watcher.messages or watcher.last["status"] != status:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_paused_is_reported_without_waiting_for_the_sweep(
    http: aiohttp.ClientSession, state_url: str, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", state_url, ["--quiet-after=0.4", NEVER]) as server:
        urls = [await tus.create(http, server.url, 1000) for _ in range(20)]
        watchers = [Watcher(url) for url in urls]
        async with watchers[0].watching(), watchers[1].watching():
            for url in urls:
                assert (await tus.patch(http, url, 0, bytes(500))).status == 204
            for watcher in watchers[:2]:
                await told(watcher, "paused")
                assert (watcher.last["bytesPerSecond"], watcher.last["etaSeconds"]) == (0, None)
            for url in urls:  # and again after the next PATCH
                assert (await tus.patch(http, url, 500, bytes(100))).status == 204
            for watcher in watchers[:2]:
                await watcher.until(600)
                await told(watcher, "paused")
            for url in urls:
                assert (await tus.patch(http, url, 600, bytes(400))).status == 204


async def test_a_chunked_client_with_gaps_is_reported_as_uploading_all_the_time(
    http: aiohttp.ClientSession, state_url: str, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", state_url, ["--quiet-after=4", "--sweep-every=0.1"]) as server:
        url = await tus.create(http, server.url, 8000)
        watcher = Watcher(url)
        async with watcher.watching():
            for number in range(8):
                assert (await tus.patch(http, url, number * 1000, bytes(1000))).status == 204
                await asyncio.sleep(0.7)
        assert {message["status"] for message in watcher.messages} <= {"pending", "uploading", "verifying", "completed"}


async def test_patches_through_two_nodes_are_no_silence(
    http: aiohttp.ClientSession, redis_url: str, tmp_path: Path
) -> None:
    options = ["--quiet-after=2.5", NEVER]
    async with onward(tmp_path / "data", redis_url, options) as a, onward(tmp_path / "data", redis_url, options) as b:
        url = await tus.create(http, a.url, 10_000)
        watcher = Watcher(url)
        async with watcher.watching():
            for number in range(10):  # the first node hears nothing of what comes after
                there = f"{(a if number == 0 else b).url}/{url.rpartition('/')[2]}"
                assert (await tus.patch(http, there, number * 1000, bytes(1000))).status == 204
                await asyncio.sleep(0.4)
        assert "paused" not in {message["status"] for message in watcher.messages}


async def test_the_sweep_of_another_node_reports_it_if_the_first_has_died(
    http: aiohttp.ClientSession, redis_url: str, tmp_path: Path
) -> None:
    async with (
        onward(tmp_path / "data", redis_url, ["--quiet-after=1", NEVER]) as dead,
        onward(tmp_path / "data", redis_url, ["--quiet-after=1", "--sweep-every=0.1"]) as other,
    ):
        url = await tus.create(http, dead.url, 1000)
        there = f"{other.url}/{url.rpartition('/')[2]}"
        watcher = Watcher(there)
        async with watcher.watching():
            assert (await tus.patch(http, url, 0, bytes(500))).status == 204
            await dead.kill9()
            await told(watcher, "paused")
            assert (await tus.patch(http, there, 500, bytes(500))).status == 204


def test_the_defaults_leave_time_between_patches_and_report_silence_within_three_seconds() -> None:
    assert 2 < Config().quiet_after < 2.8
