"""What passes within seconds keeps a client with its upload: it is told to wait, or how much of its body was taken."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import http_connection as raw
import pytest
import tus_requests as tus
from http_connection import OCTETS, Connection, Headers
from onward_process import onward
from redis_process import RedisProcess, redis_server
from server_process import Server, Start

DATA = b"the body of an upload that meets trouble"
HALF = len(DATA) // 2


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server:
        yield server


async def test_a_question_waits_for_a_state_that_comes_back(
    http: aiohttp.ClientSession, redis: RedisProcess, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", redis.url) as server:
        url = await tus.create(http, server.url, len(DATA))
        assert (await tus.patch(http, url, 0, DATA[:HALF])).status == 204
        redis.stop()
        asked = asyncio.create_task(tus.head(http, url))
        assert (await tus.patch(http, url, HALF, DATA[HALF:])).status == 503
        assert not asked.done()
        redis.start()
        answer = await asked
        assert (answer.status, answer.headers["Upload-Offset"]) == (200, str(HALF))
        assert (await tus.patch(http, url, HALF, DATA[HALF:])).status == 204


async def test_a_client_that_asks_for_the_offset_has_to_wait_while_the_state_stays_away(
    http: aiohttp.ClientSession, redis: RedisProcess, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", redis.url, ["--lease-wait=0.5"]) as server:
        url = await tus.create(http, server.url, len(DATA))
        redis.stop()
        answer = await tus.head(http, url)
        assert (answer.status, answer.headers["Retry-After"]) == (423, "1")
        async with http.post(url, headers=tus.TUS | {"X-HTTP-Method-Override": "HEAD"}) as overridden:
            problem: dict[str, Any] = await overridden.json(content_type=None)
        assert (overridden.status, problem["status"], problem["code"]) == (423, 423, "unavailable")
        assert (await tus.patch(http, url, 0, DATA)).status == 503
        async with http.post(server.url, headers=tus.TUS | {"Upload-Length": "1"}) as created:
            assert created.status == 503
        ready = server.url.removesuffix("/files") + "/readyz"
        for method in ("GET", "HEAD"):
            async with http.request(method, ready, headers=tus.TUS) as told:
                assert told.status == 503
        redis.start()
        assert await tus.offset(http, url) == 0


async def test_a_stop_ends_the_wait_for_a_state(
    http: aiohttp.ClientSession, redis: RedisProcess, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", redis.url, ["--lease-wait=60"]) as server:
        url = await tus.create(http, server.url, len(DATA))
        redis.stop()
        asked = asyncio.create_task(tus.head(http, url))
        assert (await tus.patch(http, url, 0, DATA)).status == 503
        assert not asked.done()
        assert await server.stop() == 0
        assert (await asked).status == 423


def half_of_a_creation(server: Server, connection: Connection) -> None:
    size: Headers = {"Upload-Length": str(len(DATA)), "Content-Length": str(len(DATA)), "Content-Type": OCTETS}
    connection.send(server.tus.request("POST", server.tus.files, size) + DATA[:HALF])
    raw.poll(lambda: bool(server.ids()))


def test_a_creation_whose_body_stalls_states_what_was_stored(start: Start) -> None:
    server = start("--body-idle=0.5")
    with Connection(server.tus.port) as connection:
        half_of_a_creation(server, connection)
        answer = connection.answer()
        assert (answer.status, answer["Upload-Offset"]) == (201, str(HALF))
        assert connection.read_rest() == b"", "the connection ends with a body that is not whole"
    path = raw.path_of(answer["Location"])
    server.tus.check_holds(path, DATA, HALF)


def test_a_creation_that_is_cut_by_a_stop_states_what_was_stored(start: Start) -> None:
    server = start()
    with Connection(server.tus.port) as connection:
        half_of_a_creation(server, connection)
        server.process.send_signal(signal.SIGTERM)
        answer = connection.answer()
        assert (answer.status, answer["Upload-Offset"]) == (201, str(HALF))
        assert server.process.wait(10) == 0


def test_a_creation_with_a_checksum_has_taken_nothing_of_a_body_that_stalls(start: Start) -> None:
    server = start("--body-idle=0.5")
    size: Headers = {"Upload-Length": str(len(DATA)), "Content-Length": str(len(DATA)), "Content-Type": OCTETS}
    with Connection(server.tus.port) as connection:
        checksum: Headers = {"Upload-Checksum": "sha1 " + "A" * 27 + "="}
        connection.send(server.tus.request("POST", server.tus.files, size | checksum) + DATA[:HALF])
        answer = connection.answer()
    assert (answer.status, answer["Upload-Offset"]) == (201, "0")
    server.tus.check_holds(raw.path_of(answer["Location"]), DATA, 0)


def test_a_creation_whose_bytes_are_wrong_is_refused_as_before(start: Start) -> None:
    server = start()
    wrong: Headers = {"Upload-Length": str(len(DATA)), "Repr-Digest": f"sha-256=:{'A' * 43}=:"}
    answer = server.tus.post(wrong, DATA)
    assert answer.status == 460
    assert server.tus.ask("HEAD", raw.path_of(answer["Location"])).status == 410
