"""What the server refuses to take more of: open uploads, room, connections, slow requests and bodies."""

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from http_connection import PATIENCE, Connection, Headers
from onward_process import onward
from server_process import Start

DATA = b"0123456789"
MORE_THAN_ANY_DISK = 2**60


async def test_no_more_uploads_are_open_than_may_be(
    http: aiohttp.ClientSession, state_url: str, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", state_url, ["--max-open=5"]) as server:
        headers = tus.TUS | {"Upload-Length": "10"}

        async def create() -> aiohttp.ClientResponse:
            async with http.post(server.url, headers=headers) as answer:
                await answer.read()
                return answer

        answers = await asyncio.gather(*(create() for _ in range(50)))
        made = [answer.headers["Location"] for answer in answers if answer.status == 201]
        assert len(made) == 5
        assert {(answer.status, answer.headers["Retry-After"]) for answer in answers if answer.status != 201} == {
            (503, "10")
        }
        assert (await tus.patch(http, made[0], 0, DATA)).status == 204
        async with http.delete(made[1], headers=tus.TUS) as answer:
            assert answer.status == 204
        again = await asyncio.gather(*(create() for _ in range(4)))
        assert sorted(answer.status for answer in again) == [201, 201, 503, 503]
        async with http.get(server.url.removesuffix("/files") + "/healthz") as answer:
            assert answer.status == 200


@pytest.mark.parametrize("length", [MORE_THAN_ANY_DISK, None])
def test_bytes_without_room_are_refused_before_they_are_sent(start: Start, length: int | None) -> None:
    tus = start(*([f"--reserve={MORE_THAN_ANY_DISK}"] if length is None else [])).tus
    headers: Headers = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    assert tus.post(headers).status == 507
    if length is None:
        return
    path = tus.create(None)
    with Connection(tus.port) as connection:
        told: Headers = {"Content-Length": str(length), "Expect": "100-continue"}
        connection.send(tus.request("PATCH", path, tus.patching(0, told)))
        assert connection.answer().status == 507
    assert tus.patch(path, 0, DATA).status == 204


def test_one_address_has_no_more_connections_than_it_may(start: Start) -> None:
    tus = start("--connections=5").tus
    held = [Connection(tus.port) for _ in range(5)]
    for connection in held:
        connection.send(tus.request("OPTIONS", tus.files))
        assert connection.answer().status == 204
    with Connection(tus.port) as refused:
        answer = refused.answer()
        assert (answer.status, answer["Retry-After"], answer["Content-Type"]) == (423, "10", "application/problem+json")
        assert refused.read_rest() == b""
    held.pop().close()
    end = time.monotonic() + PATIENCE
    while tus.ask("OPTIONS", tus.files).status != 204:
        assert time.monotonic() < end
    for connection in held:
        connection.close()


@pytest.mark.parametrize("first", [b"", b"POST /files HTTP/1.1\r\nHost: t\r\nX: "])
def test_a_connection_without_a_request_is_closed(start: Start, first: bytes) -> None:
    tus = start("--header-wait=0.5").tus
    with Connection(tus.port) as connection:
        connection.send(first)
        began = time.monotonic()
        assert connection.read_rest() == b""
        assert time.monotonic() - began < PATIENCE / 2


def test_a_body_that_dribbles_is_cut_and_kept(start: Start) -> None:
    tus = start("--body-idle=0.5", "--body-rate=100").tus
    path = tus.create(1000)
    with Connection(tus.port) as connection:
        connection.send(tus.request("PATCH", path, tus.patching(0, {"Content-Length": "1000"})))
        sent = 0
        while not connection.has_answer():
            connection.send(b"x")
            sent += 1
            time.sleep(0.05)
        assert connection.answer().status == 423
    assert 0 < tus.offset(path) <= sent


def test_a_body_that_is_slow_but_steady_is_taken(start: Start) -> None:
    tus = start("--body-idle=0.3", "--body-rate=100").tus
    path = tus.create(100)
    with Connection(tus.port) as connection:
        connection.send(tus.request("PATCH", path, tus.patching(0, {"Content-Length": "100"})))
        for _ in range(20):
            connection.send(b"x" * 5)
            time.sleep(0.03)
        assert connection.answer().status == 204
