"""The server as a part of another aiohttp application."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from aiohttp import web

from onward import Config, create_app, create_runner

DATA = b"under another roof" * 1000


async def _hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


@pytest.fixture(params=["/", "/files"])
async def outer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """Run an application with the server mounted at /uploads, and give the URL of the uploads."""
    config = Config(data=str(tmp_path / "data"), base_path=request.param, cors_origins="https://app.example")
    app = web.Application()
    app.router.add_get("/", _hello)
    app.add_subapp("/uploads", create_app(config))
    runner = create_runner(app, config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/uploads{config.prefix}"
    finally:
        await runner.cleanup()


async def test_a_mounted_server_takes_uploads(outer: str, http: aiohttp.ClientSession) -> None:
    url = await tus.create(http, outer, len(DATA))
    assert url.startswith(outer + "/")
    async with http.ws_connect(url + "/progress") as watcher:
        headers = tus.TUS | tus.OCTETS | {"Upload-Offset": "0"}
        async with http.patch(url, data=DATA, headers=headers) as answer:
            assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(len(DATA)))
        last = [message.json() async for message in watcher][-1]
        assert (last["status"], last["uploadedBytes"]) == ("completed", len(DATA))
    async with http.get(url) as answer:
        assert await answer.read() == DATA


async def test_parts_are_known_by_their_mounted_urls(outer: str, http: aiohttp.ClientSession) -> None:
    parts = []
    for data in (b"one,", b"two"):
        part = await tus.create(http, outer, len(data), **{"Upload-Concat": "partial"})
        async with http.patch(part, data=data, headers=tus.TUS | tus.OCTETS | {"Upload-Offset": "0"}) as answer:
            assert answer.status == 204
        parts.append(part)
    async with http.post(outer, headers=tus.TUS | {"Upload-Concat": f"final;{' '.join(parts)}"}) as answer:
        assert answer.status == 201
        url = answer.headers["Location"]
    async with http.get(url) as answer:
        assert await answer.read() == b"one,two"


async def test_the_rest_is_the_outer_applications(outer: str, http: aiohttp.ClientSession) -> None:
    origin = {"Origin": "https://app.example"}
    async with http.get(outer[: outer.index("/uploads")] + "/", headers=origin) as answer:
        assert (await answer.text(), answer.headers.get("Access-Control-Allow-Origin")) == ("hello", None)
    async with http.get(f"{outer}/nothing", headers=origin) as answer:
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (404, "https://app.example")
        assert answer.content_type == "application/problem+json"
