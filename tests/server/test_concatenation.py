"""Partial uploads become one: in order, verified, also when the server is killed on the way."""
# ruff: noqa: ASYNC110 - what another process does can only be polled

import asyncio
import hashlib
import random
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from onward_process import OnwardProcess, onward


@pytest.fixture
async def server(state_url: str, tmp_path: Path) -> AsyncIterator[OnwardProcess]:
    async with onward(tmp_path / "data", state_url, ["--release-after=1", "--sweep-every=0.3"]) as process:
        yield process


def stored(server: OnwardProcess, url: str) -> bytes:
    return (server.data / "files" / url.rpartition("/")[2]).read_bytes()


async def test_parts_are_joined_and_then_released(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    a, b = await tus.part(http, server.url, b"hello "), await tus.part(http, server.url, b"world")
    answer = await tus.final(http, server.url, [a, b[b.index("/files") :], a])
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "17")
    url = answer.headers["Location"]
    assert stored(server, url) == b"hello worldhello "
    told = await tus.head(http, url)
    assert told.headers["Upload-Concat"] == f"final;{a} {b[b.index('/files') :]} {a}"
    assert told.headers["Repr-Digest"] == answer.headers["Repr-Digest"]
    async with asyncio.timeout(10):
        while (await tus.head(http, a)).status != 410:
            await asyncio.sleep(0.2)
    assert [path.name for path in (server.data / "files").iterdir()] == [url.rpartition("/")[2]]
    async with http.get(url) as download:
        assert await download.read() == b"hello worldhello "


async def test_a_wrong_promise_is_refused_and_never_published(
    server: OnwardProcess, http: aiohttp.ClientSession
) -> None:
    a = await tus.part(http, server.url, b"hello")
    answer = await tus.final(http, server.url, [a, a], Repr_Digest=f"sha-256=:{b64encode(bytes(32)).decode()}:")
    assert answer.status == 460
    assert (await tus.head(http, answer.headers["Location"])).status == 410
    assert not list((server.data / "files").iterdir())
    digest = hashlib.sha256(b"hellohello").digest()
    answer = await tus.final(http, server.url, [a, a], Repr_Digest=f"sha-256=:{b64encode(digest).decode()}:")
    assert answer.status == 201


async def test_a_final_upload_waits_for_its_parts(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    a, b = await tus.part(http, server.url, b"hello"), await tus.part(http, server.url, b"wor", 5)
    answer = await tus.final(http, server.url, [a, b])
    assert answer.status == 201
    assert "Upload-Offset" not in answer.headers
    url = answer.headers["Location"]
    told = await tus.head(http, url)
    assert (told.status, told.headers["Upload-Length"]) == (200, "10")
    assert "Upload-Offset" not in told.headers
    assert (await tus.patch(http, url, 0, b"x")).status == 403
    assert (await tus.patch(http, b, 3, b"ld")).status == 204
    assert (await tus.head(http, url)).headers["Upload-Offset"] == "10"
    assert stored(server, url) == b"helloworld"


async def test_a_waiting_final_upload_fails_with_its_part(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    a = await tus.part(http, server.url, b"hello", 10)
    url = (await tus.final(http, server.url, [a])).headers["Location"]
    async with http.delete(a, headers=tus.TUS) as answer:
        assert answer.status == 204
    assert (await tus.head(http, url)).status == 410
    assert (await tus.final(http, server.url, [a])).status == 410
    assert (await tus.final(http, server.url, [f"{server.url}/{'0' * 32}"])).status == 404


async def test_a_partial_upload_is_no_download(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    a = await tus.part(http, server.url, b"hello")
    assert (await tus.head(http, a)).headers["Upload-Concat"] == "partial"
    async with http.get(a) as answer:
        assert answer.status == 403


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4])
async def test_a_server_killed_while_joining_ends_right(tmp_path: Path, after: float) -> None:
    data = random.Random(1).randbytes(48 * 2**20)
    async with (
        onward(tmp_path / "data", "sqlite:", ["--sweep-every=0.3", "--quiet-after=0.5"]) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
    ):
        a = await tus.part(http, server.url, data)
        joining = asyncio.create_task(tus.final(http, server.url, [a] * 4))
        await asyncio.sleep(after)
        await server.kill9()
        await asyncio.gather(joining, return_exceptions=True)
        await server.start()
        async with asyncio.timeout(30):
            while list((server.data / "partial").iterdir()) != [server.data / "partial" / a.rpartition("/")[2]]:
                await asyncio.sleep(0.1)
        for path in (server.data / "files").iterdir():
            assert path.read_bytes() == data * 4
        answer = await tus.final(http, server.url, [a, a])
        assert answer.status == 201
        assert stored(server, answer.headers["Location"]) == data * 2
