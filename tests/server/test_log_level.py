"""What the server logs: its start and its end, at the level that is asked for, and no line for what machines ask."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from http_connection import poll
from onward_process import OnwardProcess, onward
from redis_process import redis_server

from onward.server.option_kinds import hide_password

PROBES = ("/healthz", "/readyz", "/metrics")
AWAY = 6.0  # seconds, in which a clean-up is due three times and the events are missed thirty times
DOWN, BACK = "Redis fails, and is tried again", "Redis works again"


def log_of(data: Path, server: OnwardProcess) -> str:
    return data.with_suffix(f".{server.port}.log").read_text()


async def test_the_start_and_the_stop_are_logged(redis_url: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with onward(data, redis_url, ["--durability=group"]) as server:
        await server.stop()
        log = log_of(data, server)
    first, *_, stopping, stopped = log.splitlines()
    page = server.url.removesuffix("files")
    told = f" serves: data folder {data}, state {redis_url}, blobs file:, durability group, page {page}"
    assert first.endswith(told)
    assert "INFO onward onward " in first
    assert stopping.endswith("stopping, in 10 s at most")
    assert stopped.endswith("INFO onward stopped")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://user:se:c/r@t@host:6379/0", "redis://user:***@host:6379/0"),
        ("redis+sentinel://:secret@a:1,b:2/main", "redis+sentinel://:***@a:1,b:2/main"),
        ("redis://host?password=secret&db=1", "redis://host?password=***&db=1"),
    ],
)
def test_a_password_in_a_url_is_not_shown(url: str, shown: str) -> None:
    assert hide_password(url) == shown


async def test_nothing_is_logged_below_the_level(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", "memory:", ["--log-level=warning"]) as server:
        await tus.create(http, server.url, 1)
        await server.stop()
        assert log_of(tmp_path / "data", server) == ""


@pytest.mark.parametrize(("level", "lines"), [("info", 0), ("debug", len(PROBES))])
async def test_what_machines_ask_every_few_seconds_has_no_line(
    http: aiohttp.ClientSession, tmp_path: Path, level: str, lines: int
) -> None:
    async with onward(tmp_path / "data", "memory:", [f"--log-level={level}"]) as server:
        for path in PROBES:
            async with http.get(server.url.removesuffix("/files") + path) as answer:
                assert answer.status == 200
        await tus.create(http, server.url, 1)
        log = log_of(tmp_path / "data", server)
    assert sum(f" GET '{path}' " in line for path in PROBES for line in log.splitlines()) == lines
    assert " POST '/files' 201 " in log


async def test_a_redis_that_stays_down_has_one_line_and_another_one_when_it_is_back(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    with redis_server(tmp_path) as redis:
        async with onward(data, redis.url, ["--sweep-every=2"]) as server:
            redis.stop()
            poll(lambda: DOWN in log_of(data, server))
            for _ in range(20):  # what clients ask meanwhile is no flood either
                await asyncio.sleep(AWAY / 20)
                async with http.post(server.url, headers=tus.TUS | {"Upload-Length": "1"}) as answer:
                    assert answer.status == 503
            assert server.running
            lines = log_of(data, server).splitlines()
            assert len([line for line in lines if " WARNING " in line or " ERROR " in line]) == 1, lines
            redis.start()
            poll(lambda: BACK in log_of(data, server))
            lines = log_of(data, server).splitlines()
            assert len([line for line in lines if DOWN in line]) == 1
            assert len([line for line in lines if BACK in line]) == 1
