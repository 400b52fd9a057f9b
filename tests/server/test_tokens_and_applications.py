"""Tokens beside an application: its access function and `--ask` are asked after them, and watchers leave in time."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from aiohttp import web
from token_maker import OwnKey

from onward import AccessDenied, Act, Config, Grant, Scope, create_app, create_runner
from onward.protocol.grants import USUAL
from onward.protocol.model import CreateRequest, UploadId


@dataclass
class Embedded:
    """A server in an application, which says what its access function is to return."""

    grant: Grant | None = None
    refuses: bool = False
    asked: list[Act] = field(default_factory=list)
    url: str = ""
    key: Path = Path()

    async def access(self, _: web.Request, act: Act, id: UploadId | None, __: CreateRequest | None) -> Grant | None:
        self.asked.append(act)
        if self.refuses:
            raise AccessDenied("Not today.")
        return self.grant

    def session(self, sub: str, **claims: Any) -> aiohttp.ClientSession:
        token = OwnKey(self.key).token(sub, **claims)
        return aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})


async def running(tmp_path: Path, auth: str) -> AsyncIterator[Embedded]:
    embedded = Embedded(key=tmp_path / "data" / "auth.key")
    config = Config(data=str(tmp_path / "data"), state="memory:", auth=auth)
    runner = create_runner(create_app(config, access=embedded.access), config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        embedded.url = f"http://127.0.0.1:{runner.addresses[0][1]}/files"
        yield embedded
    finally:
        await runner.cleanup()


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Embedded]:
    async for embedded in running(tmp_path, "key"):
        yield embedded


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Embedded]:
    async for embedded in running(tmp_path, "none"):
        yield embedded


async def status_of(answering: aiohttp.client._RequestContextManager) -> int:
    async with answering as answer:
        return answer.status


async def test_an_access_function_is_asked_after_the_token_and_both_must_allow_an_act(both: Embedded) -> None:
    async with aiohttp.ClientSession() as stranger, both.session("alice") as alice, both.session("bob") as bob:
        assert await status_of(stranger.post(both.url, headers=tus.TUS | {"Upload-Length": "3"})) == 401
        assert both.asked == []
        url = await tus.create(alice, both.url, 3)
        both.asked.clear()
        assert await status_of(bob.head(url, headers=tus.TUS)) == 404
        assert both.asked == []
        both.refuses = True
        assert await status_of(alice.head(url, headers=tus.TUS)) == 403
        assert both.asked == [Act.INSPECT]


async def test_the_smaller_limit_counts_and_the_owner_of_the_application(both: Embedded) -> None:
    both.grant = Grant(max_size=3, owner="bob")
    async with both.session("alice", onward={"maxSize": 5}) as alice, both.session("bob") as bob:
        assert await status_of(alice.post(both.url, headers=tus.TUS | {"Upload-Length": "4"})) == 413
        url = await tus.create(alice, both.url, 3)
        assert await status_of(alice.head(url, headers=tus.TUS)) == 404
        assert await tus.offset(bob, url) == 0
        both.grant = Grant(max_size=10)
        assert await status_of(alice.post(both.url, headers=tus.TUS | {"Upload-Length": "6"})) == 413


async def test_a_grant_with_scopes_is_heeded_without_any_token(alone: Embedded) -> None:
    async with aiohttp.ClientSession() as http:
        alone.grant = Grant(owner="alice", scopes=USUAL)
        url = await tus.create(http, alone.url, 3)
        assert await tus.offset(http, url) == 0
        alone.grant = Grant(owner="bob", scopes=USUAL)
        assert await status_of(http.head(url, headers=tus.TUS)) == 404
        alone.grant = Grant(owner="alice", scopes=frozenset({Scope.CREATE}))
        assert await status_of(http.head(url, headers=tus.TUS)) == 403
        alone.grant = Grant(upload=UploadId("0" * 32))
        assert await status_of(http.head(url, headers=tus.TUS)) == 404
        alone.grant = Grant(owner="bob", types=("image/*",))
        assert await tus.offset(http, url) == 0, "without scopes the application has decided itself"
        text = await tus.create(http, alone.url, 3)
        assert (await tus.patch(http, text, 0, b"abc")).status == 415


async def test_watchers_leave_when_their_token_expires(both: Embedded) -> None:
    async with both.session("alice") as alice:
        ids = [(await tus.create(alice, both.url, 3)).rpartition("/")[2] for _ in range(2)]
    expires = int(time.time()) + 2
    token = OwnKey(both.key).token("alice", exp=expires)
    one = f"{both.url}/{ids[0]}/progress?token={token}"
    many = f"{both.url.removesuffix('/files')}/progress?id={ids[0]}&id={ids[1]}&token={token}"
    async with aiohttp.ClientSession() as page:

        async def socket(url: str) -> tuple[int | None, float]:
            async with page.ws_connect(url) as ws:
                while (message := await ws.receive(15)).type is aiohttp.WSMsgType.TEXT:
                    pass
                return message.data, time.time()

        async def events(url: str) -> tuple[int | None, float]:
            async with page.get(url, headers={"Accept": "text/event-stream"}) as answer:
                assert b"data:" in await answer.content.read()
                return 4401, time.time()

        ends = await asyncio.gather(socket(one), socket(many), events(one), events(many))
    for code, at in ends:
        assert code == 4401
        assert -0.1 < at - expires < 5


async def test_a_grant_of_an_application_may_end_too(alone: Embedded) -> None:
    alone.grant = Grant(expires=time.time() + 0.3)
    async with aiohttp.ClientSession() as http:
        url = await tus.create(http, alone.url, 3)
        async with http.ws_connect(f"{url}/progress") as ws:
            assert (await ws.receive(10)).type is aiohttp.WSMsgType.TEXT
            assert (await ws.receive(10)).data == 4401
