"""The access check of an application that embeds the server: asked before every act, and what it refuses isn't done."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from aiohttp import web

from onward.protocol.errors import AccessDenied
from onward.protocol.grants import Act, Grant
from onward.protocol.model import CreateRequest, UploadId
from onward.server.app import create_app, create_runner
from onward.server.config import Config

DATA = b"mine"
EVENTS = {"Accept": "text/event-stream"}


@dataclass
class Doorkeeper:
    """Lets in who has the key, and notes what it was asked."""

    asked: list[tuple[Act, str | None]] = field(default_factory=list)
    url: str = ""
    grant: Grant | None = None

    async def allow(
        self, request: web.Request, act: Act, id: UploadId | None, create_request: CreateRequest | None
    ) -> Grant | None:
        self.asked.append((act, id))
        assert (create_request is None) == (act is not Act.CREATE)
        if request.headers.get("Authorization") != "Bearer key":
            raise AccessDenied("A key is needed.")
        return self.grant


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Doorkeeper]:
    doorkeeper = Doorkeeper()
    config = Config(data=str(tmp_path / "data"), state="memory:")
    outer = web.Application()
    outer.add_subapp("/uploads", create_app(config, access=doorkeeper.allow))
    runner = create_runner(outer, config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        doorkeeper.url = f"http://127.0.0.1:{runner.addresses[0][1]}/uploads/files"
        yield doorkeeper
    finally:
        await runner.cleanup()


async def test_every_act_is_asked_for(door: Doorkeeper) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer key"}) as http:
        url = await tus.create(http, door.url, len(DATA))
        one = url.rpartition("/")[2]
        await tus.patch(http, url, 0, DATA)
        assert await tus.offset(http, url) == len(DATA)
        async with http.get(url) as answer:
            assert await answer.read() == DATA
        for address in (f"{url}/progress", f"{door.url.removesuffix('/files')}/progress?id={one}"):
            async with http.ws_connect(address) as ws:
                assert (await ws.receive_json())["status"] == "completed"
            for headers in ({}, EVENTS):
                async with http.get(address, headers=headers) as answer:
                    assert answer.status == 200
        part = await tus.part(http, door.url, DATA)
        door.asked.clear()
        assert (await tus.final(http, door.url, [part, part])).status == 201
        assert door.asked == [(Act.CREATE, None), *[(Act.JOIN, part.rpartition("/")[2])] * 2]
        door.asked.clear()
        async with http.post(url, headers=tus.TUS | {"X-HTTP-Method-Override": "DELETE"}) as answer:
            assert answer.status == 204
        assert door.asked == [(Act.TERMINATE, one)]


async def test_what_is_refused_is_not_done(door: Doorkeeper) -> None:
    async with (
        aiohttp.ClientSession(headers={"Authorization": "Bearer key"}) as owner,
        aiohttp.ClientSession() as stranger,
    ):
        url = await tus.create(owner, door.url, len(DATA))
        part = await tus.part(owner, door.url, DATA)
        many = f"{door.url.removesuffix('/files')}/progress?id={url.rpartition('/')[2]}"
        patching = tus.TUS | tus.OCTETS | {"Upload-Offset": "0"}
        joining = tus.TUS | {"Upload-Concat": f"final;{part}"}
        acts: tuple[tuple[str, str, dict[str, str], bytes], ...] = (
            ("POST", door.url, tus.TUS | {"Upload-Length": "4"}, b""),
            ("POST", door.url, joining, b""),
            ("PATCH", url, patching, DATA),
            ("DELETE", url, tus.TUS, b""),
            ("POST", url, tus.TUS | {"X-HTTP-Method-Override": "DELETE"}, b""),
            ("GET", url, {}, b""),
            ("GET", f"{url}/progress", {}, b""),
            ("GET", f"{url}/progress", EVENTS, b""),
            ("GET", many, EVENTS, b""),
            ("GET", f"{door.url}/{'0' * 32}/progress", {}, b""),
        )
        for method, address, headers, body in acts:
            async with stranger.request(method, address, headers=headers, data=body) as answer:
                assert (answer.status, (await answer.json())["code"]) == (403, "access-denied"), (method, address)
        async with stranger.head(url, headers=tus.TUS) as answer:
            assert answer.status == 403
        for address in (f"{url}/progress", many):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await stranger.ws_connect(address)
            assert refused.value.status == 403
        async with stranger.options(url) as answer:
            assert answer.status == 204
        assert await tus.offset(owner, url) == 0


async def test_a_grant_limits_the_size_of_an_upload(door: Doorkeeper) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer key"}) as http:
        door.grant = Grant(max_size=len(DATA))
        too_long = {"Upload-Length": str(len(DATA) + 1)}
        async with http.post(door.url, headers=tus.TUS | too_long) as answer:
            assert (answer.status, (await answer.json())["code"]) == (413, "too-large")
        url = await tus.create(http, door.url, len(DATA))
        assert (await tus.patch(http, url, 0, DATA)).status == 204
        part = await tus.part(http, door.url, DATA)
        assert (await tus.final(http, door.url, [part, part])).status == 413


async def test_a_grant_limits_an_upload_of_unknown_length_when_it_grows(door: Doorkeeper) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer key"}) as http:
        door.grant = Grant(max_size=len(DATA))
        async with http.post(door.url, headers=tus.TUS | {"Upload-Defer-Length": "1"}) as answer:
            assert answer.status == 201
            url = answer.headers["Location"]
        patching = tus.TUS | tus.OCTETS | {"Upload-Offset": "0"}
        async with http.patch(url, data=DATA + b"!", headers=patching) as answer:
            assert answer.status == 413
        async with http.patch(url, headers=patching | {"Upload-Length": str(len(DATA) + 1)}) as answer:
            assert answer.status == 413
        door.grant = Grant()
        assert (await tus.patch(http, url, 0, DATA + b"!")).status == 204
