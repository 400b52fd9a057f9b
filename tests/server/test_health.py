"""Liveness, readiness and metrics: each tells the truth."""
# ruff: noqa: ASYNC110 - what another process does can only be polled

import asyncio
import re
import signal
import time
from pathlib import Path

import aiohttp
import tus_requests as tus
from onward_process import OnwardProcess, onward
from redis_process import RedisProcess

from onward.storage.state.redis import scripts

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


async def test_each_byte_is_counted_once_however_often_its_upload_is_resumed(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", "sqlite:") as server:
        url = await tus.create(http, server.url, len(DATA))
        for start, stop in ((0, 3), (3, 7), (7, len(DATA))):
            assert (await tus.patch(http, url, start, DATA[start:stop])).status == 204
        _, text = await ask(http, server, "/metrics")
        assert f"onward_received_bytes_total {float(len(DATA))}" in text.splitlines()


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


async def test_a_redis_that_hangs_is_reported_in_time(
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


async def until_named(http: aiohttp.ClientSession, server: OnwardProcess, status: int, *words: str) -> str:
    """Wait until /readyz answers with a status and with words; gives all that it says."""
    end = time.monotonic() + 15
    while True:
        seen, text = await ask(http, server, "/readyz")
        if seen == status and all(word in text for word in words):
            return text
        assert time.monotonic() < end, (seen, text)
        await asyncio.sleep(0.1)


async def test_a_redis_user_without_a_right_that_uploads_need_is_named(
    http: aiohttp.ClientSession, redis_process: RedisProcess, redis_url: str, tmp_path: Path
) -> None:
    def grant(*rules: str) -> None:
        redis_process.command("ACL", "SETUSER", "bare", "reset", "on", ">secret", "~*", *rules)

    grant("+@all", "allchannels")
    try:
        url = redis_url.replace("redis://", "redis://bare:secret@")
        async with onward(tmp_path / "data", url) as server:
            for rules, named in (
                (("+@all", "resetchannels"), "PUBLISH"),
                (("+@all", "-publish", "allchannels"), "PUBLISH"),
                (("+@all", "-zadd", "allchannels"), "ZADD"),
                (("+@all", "-eval", "-evalsha", "allchannels"), "evalsha"),
            ):
                await until_ready(http, server, True)
                grant(*rules)
                text = await until_named(http, server, 503, "Redis refuses", named)
                assert "secret" not in text
                grant("+@all", "allchannels")
            await until_ready(http, server, True)
            url = await tus.create(http, server.url, len(DATA))
            assert (await tus.patch(http, url, 0, DATA)).status == 204
            assert "not ready: The state says: Redis refuses" in server.log()
    finally:
        redis_process.command("ACL", "DELUSER", "bare")


async def test_a_server_that_may_not_listen_to_redis_says_so(
    http: aiohttp.ClientSession, redis_process: RedisProcess, redis_url: str, tmp_path: Path
) -> None:
    redis_process.command("ACL", "SETUSER", "deaf", "on", ">secret", "~*", "+@all", "-subscribe", "allchannels")
    try:
        async with onward(tmp_path / "data", redis_url.replace("redis://", "redis://deaf:secret@")) as server:
            await until_named(http, server, 503, "events can't be received", "subscribe")
            redis_process.command("ACL", "SETUSER", "deaf", "+subscribe")
            await until_ready(http, server, True)
    finally:
        redis_process.command("ACL", "DELUSER", "deaf")


async def test_a_redis_that_takes_no_writes_is_reported_differently_than_one_without_memory(
    http: aiohttp.ClientSession, redis_process: RedisProcess, redis_url: str, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", redis_url) as server:
        try:
            redis_process.command("REPLICAOF", "127.0.0.1", 1)
            await until_named(http, server, 503, "read only replica")
            redis_process.command("REPLICAOF", "NO", "ONE")
            await until_ready(http, server, True)
            redis_process.command("CONFIG", "SET", "maxmemory", 1)
            await until_named(http, server, 200, "ready, but full", "maxmemory")
        finally:
            redis_process.command("REPLICAOF", "NO", "ONE")
            redis_process.command("CONFIG", "SET", "maxmemory", 0)
        await until_named(http, server, 200, "ready\n")


async def test_all_that_is_missing_is_named(
    http: aiohttp.ClientSession, redis_process: RedisProcess, redis_url: str, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", redis_url) as server:
        (server.data / "files").rename(server.data / "away")
        redis_process.pause()
        try:
            await until_named(http, server, 503, "The state does not answer.", "files/")
        finally:
            redis_process.go_on()
        await until_named(http, server, 503, "files/")
        (server.data / "away").rename(server.data / "files")
        await until_ready(http, server, True)
        assert not list(server.data.glob("*/.probe*"))


async def test_a_state_file_that_was_moved_away_is_named(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", "sqlite:") as server:
        state = server.data / "state.sqlite"
        state.rename(server.data / "away")
        await until_named(http, server, 503, "state.sqlite")
        state.touch()
        await until_named(http, server, 503, "state.sqlite is another file")
        (server.data / "away").rename(state)
        await until_ready(http, server, True)


def test_the_probe_of_redis_does_whatever_the_scripts_do() -> None:
    def commands(script: str) -> set[str]:
        return set(re.findall(r"redis\.call\((?:[^')]* and )?'(\w+)'(?: or '(\w+)')?", script)) - {("", "")}

    texts = [text for name, text in vars(scripts).items() if name.isupper() and name != "PROBE"]
    used = {name for text in texts for pair in commands(text) for name in pair if name}
    probed = {name for pair in commands(scripts.PROBE) for name in pair if name}
    assert used
    assert used <= probed
