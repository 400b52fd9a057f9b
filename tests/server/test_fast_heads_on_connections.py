"""A HEAD that is answered past aiohttp's requests keeps every rule of its connection, and of the application."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from in_process_site import TUS, WITHIN, Site, head, served, until

from onward import Config, Grant, create_app, create_runner
from onward.protocol.model import UploadId
from onward.server.http.app_keys import ENGINE
from onward.server.http.completed_steps import CompletedSteps
from onward.server.http.transport.server import Server
from onward.server.http.transport.tcp import reset

LENGTH = "Upload-Length: 9\r\n"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with served(tmp_path, state="memory:", lease_wait=0.2) as site:
        yield site


async def test_a_request_that_holds_the_lease_is_not_passed_over(site: Site) -> None:
    path = await site.create(LENGTH)
    async with site.app[ENGINE].records.leased(UploadId(path[-32:]), lambda: None):
        (answer,) = await site.ask(head(path))
        assert answer.startswith(b"HTTP/1.1 423 ")
    (answer,) = await site.ask(head(path))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert site.at_once == 1


async def test_an_answer_that_the_client_has_not_taken_comes_first(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await site.create(LENGTH)
    reader, writer = await asyncio.open_connection(*site.address)
    await until(lambda: len(site.connections()) > 0)
    monkeypatch.setattr(type(site.connections()[0].transport), "get_write_buffer_size", lambda _: 1)
    writer.write(head(path))
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)).startswith(b"HTTP/1.1 200 ")
    assert site.at_once == 0
    writer.close()


async def test_requests_that_come_together_are_answered_in_their_order(site: Site) -> None:
    known, unknown = await site.create(LENGTH), f"{site.prefix}/{'0' * 32}"
    for paths in ((known, unknown, known), (unknown, known, known), (known, known, unknown)):
        reader, writer = await asyncio.open_connection(*site.address)
        writer.write(b"".join(map(head, paths)))
        for path in paths:
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)
            assert answer.startswith(b"HTTP/1.1 200 " if path == known else b"HTTP/1.1 404 ")
        writer.close()
    assert site.at_once == 0


async def test_a_head_in_two_pieces_and_one_behind_a_body_are_answered(site: Site) -> None:
    path = await site.create(LENGTH)
    reader, writer = await asyncio.open_connection(*site.address)
    writer.write(head(path)[:20])
    await asyncio.sleep(0.05)
    writer.write(head(path)[20:])
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)).startswith(b"HTTP/1.1 200 ")
    octets = "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nContent-Length: 2\r\n"
    writer.write(f"PATCH {path} HTTP/1.1\r\nHost: a\r\n{TUS}{octets}\r\nab".encode() + head(path))
    assert b" 204 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)
    assert b"Upload-Offset: 2\r\n" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)
    writer.close()


async def test_the_connection_is_kept_as_long_as_after_any_other_answer(tmp_path: Path) -> None:
    async with served(tmp_path, state="memory:", header_wait=0.5, keep_alive=1.5) as site:
        path = await site.create(LENGTH)
        reader, writer = await asyncio.open_connection(*site.address)
        for pause in (0, 0.8):  # the first head came in time, so the connection is kept beyond that time
            await asyncio.sleep(pause)
            writer.write(head(path))
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)
        assert site.at_once == 2
        assert await asyncio.wait_for(reader.read(), WITHIN) == b""
        writer.close()


class Gate:
    """Holds back what the state answers."""

    def __init__(self, site: Site) -> None:
        self.open, self.reached = asyncio.Event(), asyncio.Event()
        self.nothing = False
        answer_later = site.heads.answer_later

        async def held(asked: Any) -> bytes | CompletedSteps | None:
            self.reached.set()
            await self.open.wait()
            return None if self.nothing else await answer_later(asked)

        site.heads.answer_later = held  # type: ignore[method-assign]


@pytest.fixture
async def over_redis(tmp_path: Path, redis_url: str) -> AsyncIterator[Site]:
    async with served(tmp_path, state=redis_url, drain=WITHIN) as site:
        yield site


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Read until the server closes the connection."""
    async with asyncio.timeout(WITHIN):
        return await reader.read()


@pytest.mark.parametrize("nothing", [False, True])
async def test_what_comes_while_the_state_is_asked_waits_for_its_turn(over_redis: Site, nothing: bool) -> None:
    path, gate = await over_redis.create(LENGTH), Gate(over_redis)
    gate.nothing = nothing
    reader, writer = await asyncio.open_connection(*over_redis.address)
    writer.write(head(path))
    await asyncio.wait_for(gate.reached.wait(), WITHIN)
    writer.write(f"OPTIONS {path} HTTP/1.1\r\nHost: a\r\n{TUS}\r\n".encode())
    writer.write(head(f"{over_redis.prefix}/{'0' * 32}"))
    await asyncio.sleep(0.1)
    gate.open.set()
    async with asyncio.timeout(WITHIN):
        assert b"Upload-Length: 9\r\n" in await reader.readuntil(b"\r\n\r\n")
        assert b"Tus-Version" in await reader.readuntil(b"\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
        writer.write(head(path))
        assert b"Upload-Length: 9\r\n" in await reader.readuntil(b"\r\n\r\n")
    writer.close()


@pytest.mark.parametrize("nothing", [False, True])
async def test_a_client_that_has_closed_its_sending_side_gets_its_answer(over_redis: Site, nothing: bool) -> None:
    path, gate = await over_redis.create(LENGTH), Gate(over_redis)
    gate.nothing = nothing
    reader, writer = await asyncio.open_connection(*over_redis.address)
    writer.write(head(path))
    writer.write_eof()
    await asyncio.wait_for(gate.reached.wait(), WITHIN)
    await asyncio.sleep(0.1)
    gate.open.set()
    assert b"Upload-Length: 9\r\n" in await read_all(reader)
    writer.close()


async def test_a_connection_that_is_lost_while_the_state_is_asked_leaves_nothing(over_redis: Site) -> None:
    path, gate = await over_redis.create(LENGTH), Gate(over_redis)
    before = len(asyncio.all_tasks())
    _, writer = await asyncio.open_connection(*over_redis.address)
    writer.write(head(path))
    await asyncio.wait_for(gate.reached.wait(), WITHIN)
    assert isinstance(writer.transport, asyncio.Transport)
    reset(writer.transport)
    await until(lambda: not over_redis.connections())
    gate.open.set()
    await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_stop_waits_for_the_answer_and_closes_the_connection(tmp_path: Path, redis_url: str) -> None:
    async with served(tmp_path, state=redis_url, drain=WITHIN) as site:
        path, gate = await site.create(LENGTH), Gate(site)
        reader, writer = await asyncio.open_connection(*site.address)
        writer.write(head(path))
        await asyncio.wait_for(gate.reached.wait(), WITHIN)
        asyncio.get_running_loop().call_later(0.3, gate.open.set)
        stopping = asyncio.create_task(site.stop())
        assert b"Upload-Length: 9\r\n" in await read_all(reader)
        await asyncio.wait_for(stopping, WITHIN / 2)
        writer.close()


async def note(_request: web.Request, response: web.StreamResponse) -> None:
    """Mark each answer, as an application may do."""
    response.headers["X-Noted"] = "yes"


@web.middleware
async def noting(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    """Do the same as a middleware."""
    response: web.StreamResponse = await handler(request)
    response.headers["X-Noted"] = "yes"
    return response


async def more(_: web.Request) -> web.StreamResponse:
    """Answer at a path of the application."""
    return web.Response()


async def allow(_request: web.Request, *_: object) -> Grant | None:
    """Allow everything, as a function of an application."""
    return None


@pytest.mark.parametrize("way", ["middleware", "signal", "route", "mounted", "access", "nothing"])
async def test_what_an_application_adds_sees_every_request(tmp_path: Path, way: str) -> None:
    config = Config(data=str(tmp_path / "data"), state="memory:")
    app = create_app(config, allow) if way == "access" else create_app(config)
    if way == "middleware":
        app.middlewares.insert(0, noting)
    elif way == "signal":
        app.on_response_prepare.append(note)
    elif way == "route":
        app.router.add_get("/more", more)
    elif way == "mounted":
        outer = web.Application(middlewares=[noting])
        outer.add_subapp("/api", app)
        app = outer
    runner = create_runner(app, config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        assert isinstance(runner.server, Server)
        assert (runner.server.limits.fast is None) == (way != "nothing")
        if way in ("middleware", "signal", "mounted"):
            reader, writer = await asyncio.open_connection(*runner.addresses[0])
            path = f"{'/api' if way == 'mounted' else ''}/files"
            writer.write(f"POST {path} HTTP/1.1\r\nHost: a\r\n{TUS}{LENGTH}\r\n".encode())
            created = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)
            id_ = created.split(b"/files/")[1][:32].decode()
            writer.write(head(f"{path}/{id_}"))
            assert b"X-Noted: yes\r\n" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)
            writer.close()
    finally:
        await runner.cleanup()
