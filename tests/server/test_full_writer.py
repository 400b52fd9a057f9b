"""A store that takes no more for a while holds back the body, whichever way it is read from its connection."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from aiohttp import web
from moving_blobs import MovingBlobs
from yarl import URL

from onward import Config, create_app, create_runner
from onward.storage import BLOBS

DATA = random.Random(6).randbytes(2**20 - 17)
SMALL = 5000


async def in_chunks() -> AsyncIterator[bytes]:
    for at in range(0, len(DATA), 300_000):
        yield DATA[at : at + 300_000]


async def at_once(url: URL, headers: dict[str, str], data: bytes) -> None:
    """Send a request in one piece, so that aiohttp has read the body before the server asks for it."""
    reader, writer = await asyncio.open_connection(url.host, url.port)
    lines = [f"PATCH {url.path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode() + data)
    assert (await reader.readline()).split()[1] == b"204"
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("way", ["from the socket", "from the stream", "whole with its head"])
async def test_a_body_waits_until_the_store_has_drained(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, http: aiohttp.ClientSession
) -> None:
    drained, drain = 0, MovingBlobs.drained

    async def counting(blobs: MovingBlobs) -> None:
        nonlocal drained
        drained += 1
        await drain(blobs)

    monkeypatch.setattr(MovingBlobs, "drained", counting)
    monkeypatch.setitem(BLOBS, "memory", "moving_blobs:open_blobs")
    config = Config(data=str(tmp_path), state="memory:", blobs="memory:")
    runner = create_runner(create_app(config), config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        data = DATA[:SMALL] if way == "whole with its head" else DATA
        url = await tus.create(http, f"http://127.0.0.1:{runner.addresses[0][1]}/files", len(data))
        headers = tus.TUS | tus.OCTETS | {"Upload-Offset": "0"}
        if way == "whole with its head":
            monkeypatch.setattr("onward.server.http.transport.body.LARGE", SMALL)
            await at_once(URL(url), headers | {"Content-Length": str(SMALL)}, data)
        else:
            body = in_chunks() if way == "from the stream" else data
            async with http.patch(url, data=body, headers=headers) as answer:
                assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(len(data)))
        async with http.get(url) as answer:
            assert await answer.read() == data
    finally:
        await runner.cleanup()
    assert drained > (2 if way == "from the socket" else 0)
