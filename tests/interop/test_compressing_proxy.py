"""Events behind an nginx that compresses and buffers all it can: each comes when it is told, not once a buffer is full."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from event_stream import EVENTS
from nginx_process import Nginx, nginx
from server_process import Server, serving

COMPRESSING = "gzip on; gzip_types text/event-stream; gzip_proxied any; gzip_min_length 0; gzip_comp_level 9;"
SOON = 5.0  # seconds; a full buffer would take some hundred events


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[Server, Nginx]]:
    with (
        serving(tmp_path / "data", ["--trusted-proxies=127.0.0.1"]) as server,
        nginx(tmp_path / "nginx", server.tus.port, more=COMPRESSING) as proxy,
    ):
        yield server, proxy


async def inflated(answer: aiohttp.ClientResponse) -> AsyncIterator[int]:
    """Give the stored bytes of each event, as soon as its bytes have come."""
    inflate, text = zlib.decompressobj(31), ""
    async for data in answer.content.iter_any():
        text += inflate.decompress(data).decode()
        while "\n\n" in text:
            event, _, text = text.partition("\n\n")
            if "data: " in event:
                yield json.loads(event.partition("data: ")[2])["uploadedBytes"]


async def test_each_event_comes_when_it_is_sent(proxied: tuple[Server, Nginx]) -> None:
    server, proxy = proxied
    path = server.tus.create(4)
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.get(
            f"{proxy.origin}{path}/progress", headers=EVENTS | {"Accept-Encoding": "gzip"}, ssl=proxy.tls()
        ) as answer,
    ):
        assert answer.headers["Content-Encoding"] == "gzip", "this nginx does not compress: the test tests nothing"
        stored = inflated(answer)
        for count in range(4):
            while await asyncio.wait_for(anext(stored), SOON) != count:
                pass
            await asyncio.to_thread(server.tus.patch, path, count, b"x")
        assert [number async for number in stored][-1] == 4
    await asyncio.sleep(0.25)  # aiohttp's client closes TLS in its own time
