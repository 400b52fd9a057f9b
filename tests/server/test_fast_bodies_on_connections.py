"""A short body that is stored past aiohttp's requests keeps every rule of its connection."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from in_process_site import OCTETS, TUS, WITHIN, Site, head, served, until

from onward.protocol.model import UploadId
from onward.server.http.app_keys import ENGINE
from onward.server.http.completed_steps import CompletedSteps
from onward.server.http.fast_bodies import Work
from onward.server.http.fast_path import FastPath
from onward.server.http.transport.tcp import reset


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with served(tmp_path, drain=WITHIN, lease_wait=0.2) as site:
        yield site


class Gate:
    """Holds a body back before its work begins."""

    def __init__(self, site: Site) -> None:
        self.open, self.reached = asyncio.Event(), asyncio.Event()
        do = site.bodies.do

        async def held(work: Work, data: bytes) -> bytes | CompletedSteps:
            self.reached.set()
            await self.open.wait()
            return await do(work, data)

        site.bodies.do = held  # type: ignore[method-assign]


def patch(path: str, body: str = "nine byte", offset: int = 0) -> bytes:
    sized = f"Upload-Offset: {offset}\r\nContent-Length: {len(body)}\r\n"
    return f"PATCH {path} HTTP/1.1\r\nHost: a\r\n{TUS}{OCTETS}{sized}\r\n{body}".encode()


async def create(site: Site) -> str:
    return await site.create("Upload-Length: 9\r\n")


@pytest.mark.parametrize("offset", [0, 1])
async def test_what_comes_while_a_body_is_stored_waits_for_its_turn(site: Site, offset: int) -> None:
    path = await create(site)
    gate = Gate(site)
    reader, writer = await asyncio.open_connection(*site.address)
    writer.write(patch(path, offset=offset))
    await asyncio.wait_for(gate.reached.wait(), WITHIN)
    writer.write(head(path))
    writer.write(f"OPTIONS {path} HTTP/1.1\r\nHost: a\r\n{TUS}\r\n".encode())
    await asyncio.sleep(0.1)
    gate.open.set()
    async with asyncio.timeout(WITHIN):
        first = await reader.readuntil(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 409 " if offset else b"HTTP/1.1 204 ")
        if offset:
            await reader.readuntil(b"}")
        assert f"Upload-Offset: {0 if offset else 9}\r\n".encode() in await reader.readuntil(b"\r\n\r\n")
        assert b"Tus-Version" in await reader.readuntil(b"\r\n\r\n")
        writer.write(head(path))
        assert b"Upload-Length: 9\r\n" in await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_bodies_that_come_together_are_answered_in_their_order(site: Site) -> None:
    path = await create(site)
    reader, writer = await asyncio.open_connection(*site.address)
    writer.write(patch(path, "nine") + patch(path, " byte", 4) + patch(path, "more", 9))
    async with asyncio.timeout(WITHIN):
        for status in (b"204", b"204", b"413"):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 " + status)
    writer.close()


async def test_a_body_in_two_pieces_is_stored(site: Site) -> None:
    path = await create(site)
    reader, writer = await asyncio.open_connection(*site.address)
    writer.write(patch(path)[:-4])
    await asyncio.sleep(0.05)
    writer.write(patch(path)[-4:])
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)).startswith(b"HTTP/1.1 204 ")
    writer.close()


@pytest.mark.parametrize("offset", [0, 1])
async def test_a_client_that_has_closed_its_sending_side_gets_its_answer(site: Site, offset: int) -> None:
    path = await create(site)
    gate = Gate(site)
    reader, writer = await asyncio.open_connection(*site.address)
    writer.write(patch(path, offset=offset))
    writer.write_eof()
    await asyncio.wait_for(gate.reached.wait(), WITHIN)
    await asyncio.sleep(0.1)
    gate.open.set()
    answer = await asyncio.wait_for(reader.read(), WITHIN)
    assert answer.startswith(b"HTTP/1.1 409 " if offset else b"HTTP/1.1 204 ")
    writer.close()


async def test_a_body_whose_connection_is_lost_is_stored(site: Site) -> None:
    path = await create(site)
    gate = Gate(site)
    _, writer = await asyncio.open_connection(*site.address)
    writer.write(patch(path))
    await asyncio.wait_for(gate.reached.wait(), WITHIN)
    assert isinstance(writer.transport, asyncio.Transport)
    reset(writer.transport)
    await until(lambda: not site.connections())
    gate.open.set()
    await until(lambda: not site.limits.tasks)
    assert b"Upload-Offset: 9\r\n" in (await site.ask(head(path)))[0]


async def test_a_stop_waits_for_the_answer_and_closes_the_connection(tmp_path: Path) -> None:
    async with served(tmp_path, drain=WITHIN) as site:
        path = await create(site)
        gate = Gate(site)
        reader, writer = await asyncio.open_connection(*site.address)
        writer.write(patch(path))
        await asyncio.wait_for(gate.reached.wait(), WITHIN)
        asyncio.get_running_loop().call_later(0.3, gate.open.set)
        stopping = asyncio.create_task(site.stop())
        answer = await asyncio.wait_for(reader.read(), WITHIN)
        assert answer.startswith((b"HTTP/1.1 204 ", b"HTTP/1.1 503 ")), answer
        await asyncio.wait_for(stopping, WITHIN / 2)
        writer.close()


async def test_a_body_is_answered_in_the_usual_way_if_its_answer_cannot_be_written(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> bytes:
        raise UnicodeError("not a header")

    path = await create(site)
    monkeypatch.setattr(FastPath, "write", fail)
    (answer,) = await site.ask(patch(path))
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert b"Upload-Offset: 9\r\n" in answer
    assert "PATCH is answered on the slow path after a fault" in caplog.text


async def test_a_body_that_waits_for_the_lease_is_refused_as_ever(site: Site) -> None:
    path = await create(site)
    async with site.app[ENGINE].records.leased(UploadId(path[-32:]), lambda: None):
        (answer,) = await site.ask(patch(path))
        assert answer.startswith(b"HTTP/1.1 423 ")
    (answer,) = await site.ask(patch(path))
    assert answer.startswith(b"HTTP/1.1 204 ")
