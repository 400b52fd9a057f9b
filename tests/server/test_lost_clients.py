"""Requests that nobody gets an answer to, and bytes that are no request: each is in the metrics and in the log."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from in_process_site import OCTETS, TUS, WITHIN, Site, head, served, until

from onward.protocol.model import UploadId
from onward.server.http.app_keys import ENGINE
from onward.server.http.request_log import LEFT
from onward.server.http.transport.tcp import reset

UNKNOWN = "0" * 32


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with served(tmp_path, state="memory:") as site:
        yield site


@pytest.fixture
async def over_redis(tmp_path: Path, redis_url: str) -> AsyncIterator[Site]:
    async with served(tmp_path, state=redis_url) as site:
        yield site


def counted(site: Site, method: str, status: int) -> int:
    return site.app[ENGINE].records.measures.requests[method, status]


def held_back(
    work: Callable[..., Awaitable[Any]],
) -> tuple[Callable[..., Awaitable[Any]], asyncio.Event, asyncio.Event]:
    """Give work that waits, the event that lets it begin, and the one that says that it was called."""
    gate, reached = asyncio.Event(), asyncio.Event()

    async def held(*arguments: object) -> object:
        reached.set()
        await gate.wait()
        return await work(*arguments)

    return held, gate, reached


async def send_and_leave(site: Site, request: bytes, reached: asyncio.Event) -> None:
    """Send a request, and reset the connection once it is being worked on."""
    _, writer = await asyncio.open_connection(*site.address)
    writer.write(request)
    await asyncio.wait_for(reached.wait(), WITHIN)
    assert isinstance(writer.transport, asyncio.Transport)
    reset(writer.transport)
    await until(lambda: not site.connections())


def check_line(caplog: pytest.LogCaptureFixture, method: str) -> None:
    """Check that the request has one line in the log."""
    lines = [record.getMessage() for record in caplog.records]
    (line,) = [line for line in lines if line.startswith(method)]
    assert re.fullmatch(rf"{method} '/files/\w{{9}}' {LEFT} \d+ ms 127\.0\.0\.1 \S+", line)


def patch(path: str, sent: str, size: int, offset: int) -> bytes:
    sized = f"Upload-Offset: {offset}\r\nContent-Length: {size}\r\n"
    return f"PATCH {path} HTTP/1.1\r\nHost: a\r\n{TUS}{OCTETS}{sized}\r\n{sent}".encode()


async def test_a_short_body_that_is_refused_when_its_client_has_left(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "onward")
    path = await site.create("Upload-Length: 9\r\n")
    site.bodies.do, gate, reached = held_back(site.bodies.do)  # type: ignore[method-assign, assignment]
    await send_and_leave(site, patch(path, "byte", 4, offset=1), reached)
    gate.set()
    await until(lambda: counted(site, "PATCH", LEFT) == 1)
    check_line(caplog, "PATCH")


async def test_a_head_for_an_unknown_upload_whose_client_has_left(
    over_redis: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "onward")
    heads = over_redis.heads
    held, gate, reached = held_back(heads.answer_later)
    heads.answer_later = lambda asked: asyncio.ensure_future(held(asked))  # type: ignore[method-assign]
    await send_and_leave(over_redis, head(f"/files/{UNKNOWN}"), reached)
    gate.set()
    await until(lambda: counted(over_redis, "HEAD", LEFT) == 1)
    check_line(caplog, "HEAD")


async def test_a_body_that_waits_for_the_lease_when_its_client_leaves(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "onward")
    path = await site.create("Upload-Length: 9999999\r\n")
    async with site.app[ENGINE].records.leased(UploadId(path[-32:]), lambda: None):
        _, writer = await asyncio.open_connection(*site.address)
        writer.write(patch(path, "", 9999999, offset=0))
        await asyncio.sleep(0.1)
        assert isinstance(writer.transport, asyncio.Transport)
        reset(writer.transport)
        await until(lambda: counted(site, "PATCH", LEFT) == 1)
    check_line(caplog, "PATCH")


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"nonsense\r\n\r\n", 400), (b"GET / HTTP/1.1\r\na: " + b"x" * 9000 + b"\r\n\r\n", 431)],
    ids=["no HTTP", "a header that is too long"],
)
async def test_what_is_no_request_is_counted(site: Site, sent: bytes, status: int) -> None:
    assert f" {status} ".encode() in await site.talk(sent + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert counted(site, "other", status) == 1
