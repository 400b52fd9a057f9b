"""What the kernel handed over counts, whatever ended the body."""

import asyncio
from unittest import mock

import pytest
from aiohttp import StreamReader
from aiohttp.test_utils import make_mocked_request

from onward.protocol.errors import Locked
from onward.server.http.transport.body import RequestBody


def body_of(stream: StreamReader, idle: float = 30) -> RequestBody:
    request = make_mocked_request("PATCH", "/", headers={"Content-Length": "100"}, payload=stream)
    return RequestBody(request, idle)


def stream() -> StreamReader:
    return StreamReader(mock.Mock(), 2**16, loop=asyncio.get_running_loop())


@pytest.mark.parametrize("fault", [ConnectionResetError(), TimeoutError(110, "given up on"), OSError(113, "no route")])
async def test_bytes_that_the_stream_kept_at_a_lost_connection_count(fault: OSError) -> None:
    content = stream()
    body = body_of(content)
    content.feed_data(b"arrived ")
    content.feed_data(b"unread")
    content.set_exception(fault)
    assert await body.block(1000, asyncio.get_running_loop().time() + 1) == b"arrived unread"
    assert body.over
    assert body.cut_by is not None


async def test_a_rival_ends_the_wait_at_once() -> None:
    body = body_of(stream())
    loop = asyncio.get_running_loop()
    loop.call_later(0.05, body.cut, Locked())
    began = loop.time()
    assert await body.block(1000, began + 10) == b""
    assert loop.time() - began < 5
    assert isinstance(body.cut_by, Locked)


async def test_a_block_is_given_at_its_time() -> None:
    content = stream()
    body = body_of(content)
    content.feed_data(b"some")
    assert await body.block(1000, asyncio.get_running_loop().time() + 0.05) == b"some"
    assert not body.over
    content.feed_data(b"rest")
    content.feed_eof()
    assert await body.block(1000, asyncio.get_running_loop().time() + 10) == b"rest"
    assert body.over
    assert body.cut_by is None


async def test_a_rival_at_the_very_moment_that_a_wait_ends_harms_nothing() -> None:
    body = body_of(stream())
    timer = mock.Mock()
    timer.reschedule.side_effect = RuntimeError("its time has come")
    body._timer = timer
    body.cut(Locked())
    assert isinstance(body.cut_by, Locked)
