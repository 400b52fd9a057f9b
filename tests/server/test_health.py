"""Liveness, readiness and metrics: each tells the truth."""
# ruff: noqa: ASYNC110 - what another process does can only be polled

import asyncio
import signal
import time
from pathlib import Path

import aiohttp
import tus
from onward_process import OnwardProcess, onward
from redis_process import RedisProcess

DATA = b"0123456789"


async def ask(http: aiohttp.ClientSession, server: OnwardProcess, path: str) -> tuple[int, str]:
    async with http.get(server.url.removesuffix("/files") + path) as answer:
        return answer.status, await answer.text()


async def until_ready(http: aiohttp.ClientSession, server: OnwardProcess, wanted: bool) -> None:
    async with asyncio.timeout(15):
        while ((await ask(http, server, "/readyz"))[0] == 200) is not wanted:
            await asyncio.sleep(0.1)


async def test_a_server_that_works_is_ready(http: aiohttp.ClientSession, state_url: str, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", state_url) as server:
        assert await ask(http, server, "/healthz") == (200, "alive\n")
        assert await ask(http, server, "/readyz") == (200, "ready\n")
        assert [path.name for path in (server.data / "partial").iterdir()] == []


async def test_uploads_are_counted_by_their_end(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", "sqlite:") as server:
        for promise in ({}, {"Repr-Digest": f"sha-256=:{'A' * 43}=:"}):
            await tus.patch(http, await tus.create(http, server.url, len(DATA), **promise), 0, DATA)
        async with http.delete(await tus.create(http, server.url, 5), headers=tus.TUS) as answer:
            assert answer.status == 204
        status, text = await ask(http, server, "/metrics")
        assert status == 200
        for line in (
            'onward_uploads_ended_total{how="completed"} 1.0',
            'onward_uploads_ended_total{how="checksum-mismatch"} 1.0',
            'onward_uploads_ended_total{how="terminated"} 1.0',
            "onward_received_bytes_total 20.0",
            "onward_running 0.0",
        ):
            assert line in text.splitlines()


async def test_without_its_redis_a_server_is_alive_but_not_ready(
    http: aiohttp.ClientSession, redis_process: RedisProcess, redis_url: str, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", redis_url) as server:
        redis_process.pause()
        try:
            await until_ready(http, server, False)
            assert (await ask(http, server, "/healthz"))[0] == 200
        finally:
            redis_process.go_on()
        await until_ready(http, server, True)


async def test_a_second_signal_ends_at_once(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", "sqlite:", ["--drain=30"]) as server:
        url = await tus.create(http, server.url, len(DATA))
        assert (await tus.patch(http, url, 0, DATA[:5])).status == 204
        async with http.get(f"{url}/progress", headers={"Accept": "text/event-stream"}) as _:
            server.process.send_signal(signal.SIGTERM)
            server.process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(server.process.wait(), 5) in (0, 1)
        await server.start()
        assert await tus.offset(http, url) == 5


async def test_a_redis_that_hangs_is_told_in_time(
    http: aiohttp.ClientSession, redis_url: str, redis_process: RedisProcess, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", redis_url) as server:
        await until_ready(http, server, True)
        redis_process.pause()
        try:
            await asyncio.sleep(1.1)
            for _ in range(2):
                began = time.monotonic()
                assert (await ask(http, server, "/readyz"))[0] == 503
                assert time.monotonic() - began < 3
        finally:
            redis_process.go_on()
        await until_ready(http, server, True)
