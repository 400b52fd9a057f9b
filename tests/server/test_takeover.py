"""A dead connection never holds an upload; two servers over one Redis are as good as one."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import tus_requests as tus
from checking_watcher import Watcher
from onward_process import OnwardProcess, onward
from unreliable_proxy import RoughLine

SIZE = 400_000


@asynccontextmanager
async def half_open_patch(server: OnwardProcess, url: str, part: bytes) -> AsyncIterator[None]:
    """Send a part of a body, then nothing, and no FIN either."""
    proxy = RoughLine(server.port)
    async with proxy.running():
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        path = "/files/" + url.rpartition("/")[2]
        head = (
            f"PATCH {path} HTTP/1.1\r\nHost: t\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
            f"Content-Type: application/offset+octet-stream\r\nContent-Length: {SIZE}\r\n\r\n"
        )
        writer.write(head.encode() + part)
        await writer.drain()
        while proxy.taken < len(head) + len(part):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        proxy.stall()
        try:
            yield
        finally:
            writer.transport.abort()


async def take_over(http: aiohttp.ClientSession, dead: OnwardProcess, alive: OnwardProcess) -> None:
    data = bytes(range(256)) * (SIZE // 256) + b"z" * (SIZE % 256)
    url = await tus.create(http, dead.url, SIZE)
    there = f"{alive.url}/{url.rpartition('/')[2]}"
    async with half_open_patch(dead, url, data[:150_000]):
        began = time.monotonic()
        assert await tus.offset(http, there) == 150_000
        assert time.monotonic() - began < 2
        answer = await tus.patch(http, there, 150_000, data[150_000:])
        assert answer.status == 204
    assert (alive.data / "files" / url.rpartition("/")[2]).read_bytes() == data


async def test_a_half_open_patch_gives_way(http: aiohttp.ClientSession, state_url: str, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", state_url) as server:
        await take_over(http, server, server)


async def test_a_half_open_patch_gives_way_to_another_node(
    http: aiohttp.ClientSession, redis_url: str, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", redis_url) as a, onward(tmp_path / "data", redis_url) as b:
        await take_over(http, a, b)


async def test_two_servers_share_an_upload(http: aiohttp.ClientSession, redis_url: str, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", redis_url) as a, onward(tmp_path / "data", redis_url) as b:
        on_a = await tus.create(http, a.url, 10)
        on_b = f"{b.url}/{on_a.rpartition('/')[2]}"
        watcher = Watcher(on_a)
        async with watcher.watching():
            await watcher.until(0)
            assert (await tus.patch(http, on_b, 0, b"four")).status == 204
            await watcher.until(4)
            assert await tus.offset(http, on_a) == 4
            assert (await tus.patch(http, on_a, 4, b"123456")).status == 204
        assert watcher.last["status"] == "completed"
        assert watcher.close_code == 1000
        assert (await tus.head(http, on_b)).headers["Repr-Digest"].startswith("sha-256=:")


async def test_a_killed_node_gives_way(http: aiohttp.ClientSession, redis_url: str, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", redis_url) as a, onward(tmp_path / "data", redis_url) as b:
        url = await tus.create(http, a.url, SIZE)
        there = f"{b.url}/{url.rpartition('/')[2]}"
        async with half_open_patch(a, url, b"x" * 150_000):
            await Watcher(there).follow_until(150_000)
            await a.kill9()
            assert await tus.offset(http, there) == 150_000
        assert (await tus.patch(http, there, 150_000, b"y" * 250_000)).status == 204


async def test_a_stalled_body_is_cut_off(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", "sqlite:", ["--body-idle=0.5"]) as server:
        url = await tus.create(http, server.url, SIZE)
        async with half_open_patch(server, url, b"x" * 150_000):
            await asyncio.sleep(1.5)
            async with http.get(f"{url}/progress") as answer:
                told = await answer.json()
        assert told["status"] == "paused"
        assert told["uploadedBytes"] == 150_000
        assert " PATCH " in server.log()
        assert " 423 " in server.log()


async def test_bytes_that_came_with_the_end_of_the_connection_count(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", "sqlite:") as server:
        url = await tus.create(http, server.url, SIZE)
        for at in range(0, 100_000, 10_000):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            head = (
                f"PATCH /files/{url.rpartition('/')[2]} HTTP/1.1\r\nHost: t\r\nTus-Resumable: 1.0.0\r\n"
                f"Upload-Offset: {at}\r\nContent-Type: application/offset+octet-stream\r\n"
                f"Content-Length: {SIZE - at}\r\nExpect: 100-continue\r\n\r\n"
            )
            writer.write(head.encode())
            assert b" 100 " in await reader.readline()
            writer.write(b"x" * 10_000)
            writer.write_eof()
            await writer.drain()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            deadline = time.monotonic() + 2
            while await tus.offset(http, url) != at + 10_000:
                assert time.monotonic() < deadline, "bytes that were delivered did not count"
