"""Who has left waits for nothing: neither for another's lease, nor does anybody else wait for its sake."""
# ruff: noqa: ASYNC110 - what another process does can only be polled

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import tus_requests as tus
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from onward_process import OnwardProcess, onward
from test_state_contract import ignore

from onward.protocol.model import UploadId
from onward.server.http.transport.disconnect import cancel_on_disconnect
from onward.storage.state.redis.state import open_state

SIZE, CROWD = 1000, 100
PATIENT = ["--lease-wait=120"]


def head(id: str) -> bytes:
    """Write the head of a PATCH."""
    return (
        f"PATCH /files/{id} HTTP/1.1\r\nHost: t\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
        f"Content-Type: application/offset+octet-stream\r\nContent-Length: {SIZE}\r\n\r\n"
    ).encode()


async def abandon(server: OnwardProcess, id: str, sent: bytes = b"") -> None:
    """Begin a PATCH and reset its connection, once the server has seen it."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(head(id) + sent)
    await writer.drain()
    await asyncio.sleep(0.2)
    writer.transport.abort()


async def running(http: aiohttp.ClientSession, server: OnwardProcess) -> int:
    """Ask how many bodies are under way."""
    async with http.get(server.url.removesuffix("files") + "metrics") as answer:
        found = re.search(r"^onward_running (\d+)", await answer.text(), re.MULTILINE)
    assert found
    return int(found[1])


@asynccontextmanager
async def held_by_another_node(url: str, id: str) -> AsyncIterator[None]:
    """Hold the lease on an upload, and give no way."""
    node = await open_state(url, Path(), node="another")
    try:
        async with node.hold(UploadId(id), wait=1, on_rival=ignore):
            yield
    finally:
        await node.close()


async def test_who_leaves_before_its_first_byte_waits_no_longer(
    http: aiohttp.ClientSession, redis_url: str, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", redis_url, PATIENT) as server:
        url = await tus.create(http, server.url, SIZE)
        id_ = url.rpartition("/")[2]
        async with held_by_another_node(redis_url, id_):
            asking = asyncio.create_task(tus.offset(http, url))
            await asyncio.sleep(0.5)  # it waits now, and gives no way: all that come wait behind it
            leaving = [asyncio.create_task(abandon(server, id_)) for _ in range(CROWD)]
            async with asyncio.timeout(20):
                while not await running(http, server):
                    await asyncio.sleep(0.02)
                await asyncio.gather(*leaving)
                while await running(http, server):
                    await asyncio.sleep(0.02)
            assert not asking.done()
        assert await asking == 0
        assert (await tus.patch(http, url, 0, bytes(SIZE))).status == 204
        assert "Traceback" not in server.log()


async def test_bytes_that_came_before_the_client_left_are_kept(
    http: aiohttp.ClientSession, redis_url: str, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", redis_url, PATIENT) as server:
        url = await tus.create(http, server.url, SIZE)
        id_ = url.rpartition("/")[2]
        async with held_by_another_node(redis_url, id_):
            await abandon(server, id_, bytes(100))
        async with asyncio.timeout(20):
            while await running(http, server):
                await asyncio.sleep(0.02)
        assert await tus.offset(http, url) == 100


async def test_a_stop_ends_the_wait_for_a_lease(http: aiohttp.ClientSession, redis_url: str, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", redis_url, [*PATIENT, "--drain=15"]) as server:
        url = await tus.create(http, server.url, SIZE)
        async with held_by_another_node(redis_url, url.rpartition("/")[2]):
            waiting = asyncio.create_task(tus.patch(http, url, 0, bytes(SIZE)))
            async with asyncio.timeout(20):
                while not await running(http, server):
                    await asyncio.sleep(0.02)
            assert await server.stop() == 0
            assert (await waiting).status == 503


async def test_who_only_says_no_more_is_answered(http: aiohttp.ClientSession, redis_url: str, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", redis_url, ["--lease-wait=1"]) as server:
        url = await tus.create(http, server.url, SIZE)
        id_ = url.rpartition("/")[2]
        for status in (b"423", b"204"):
            async with AsyncExitStack() as stack:
                if status == b"423":
                    await stack.enter_async_context(held_by_another_node(redis_url, id_))
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(head(id_) + bytes(SIZE))
                writer.write_eof()
                async with asyncio.timeout(20):
                    answer = await reader.read()
                writer.close()
                assert answer.split()[1] == status


async def test_work_that_is_cancelled_for_another_reason_as_well_stays_cancelled() -> None:
    content = StreamReader(BaseProtocol(asyncio.get_running_loop()), 2**16)
    request = make_mocked_request("PATCH", "/", payload=content)
    work = asyncio.create_task(cancel_on_disconnect(request, asyncio.sleep(20)))
    await asyncio.sleep(0)
    content.set_exception(ConnectionResetError())
    await asyncio.sleep(0)
    work.cancel()
    await asyncio.wait({work}, timeout=10)
    assert work.cancelled()
