"""From start to stop: expiry, the graceful stop, memory under load, a watcher's end."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from checking_watcher import Watcher
from onward_process import onward

PIECE = os.urandom(2**20)


async def slow(pieces: int, pause: float = 0.05) -> AsyncIterator[bytes]:
    """Give a large body slowly."""
    for _ in range(pieces):
        yield PIECE
        await asyncio.sleep(pause)


async def test_an_expired_upload_is_gone_then_forgotten(
    http: aiohttp.ClientSession, state_url: str, tmp_path: Path
) -> None:
    options = ["--expire-after=1", "--forget-after=1", "--sweep-every=0.2", "--quiet-after=0.2"]
    async with onward(tmp_path / "data", state_url, options) as server:
        url = await tus.create(http, server.url, 100)
        answer = await tus.patch(http, url, 0, b"four")
        assert answer.headers["Upload-Expires"].endswith("GMT")
        done = await tus.create(http, server.url, 4)
        assert (await tus.patch(http, done, 0, b"four")).status == 204
        statuses = []
        for _ in range(40):
            answer = await tus.head(http, url)
            assert ("Upload-Offset" in answer.headers) == (answer.status == 200)
            statuses.append(answer.status)
            await asyncio.sleep(0.1)
        assert sorted(set(statuses)) == [200, 404, 410]
        assert statuses == sorted(statuses, key=[200, 410, 404].index)
        assert list((server.data / "partial").iterdir()) == []
        assert await tus.offset(http, done) == 4


async def test_a_stop_cuts_and_records_running_bodies(
    http: aiohttp.ClientSession, state_url: str, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", state_url) as server:
        url = await tus.create(http, server.url, 100 * 2**20)
        watcher = Watcher(url)
        sending = asyncio.create_task(tus.patch(http, url, 0, slow(100)))
        await watcher.follow_until(2**20)
        assert await server.stop() == 0
        with pytest.raises(aiohttp.ClientError):
            (await sending).raise_for_status()
        await server.start()
        stored = await tus.offset(http, url)
        assert stored >= watcher.last["uploadedBytes"]
        rest = 100 * 2**20 - stored
        whole = PIECE * 100
        assert (await tus.patch(http, url, stored, whole[stored:])).status == 204
        assert rest > 0
        assert hashlib.sha256((server.data / "files" / url.rpartition("/")[2]).read_bytes()).digest() == (
            hashlib.sha256(whole).digest()
        )


async def test_memory_stays_bounded_under_twenty_clients(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", "sqlite:") as server:
        urls = [await tus.create(http, server.url, 20 * 2**20) for _ in range(20)]
        answers = await asyncio.gather(*(tus.patch(http, url, 0, slow(20, 0)) for url in urls))
        assert {answer.status for answer in answers} == {204}
        assert server.peak_memory() < 150 * 2**20


async def test_a_second_server_on_the_same_embedded_state_is_refused(tmp_path: Path) -> None:
    async with onward(tmp_path / "data", "sqlite:"):
        with pytest.raises(AssertionError, match="another process uses"):
            async with onward(tmp_path / "data", "sqlite:"):
                pass


async def test_watching_an_unknown_upload_is_404(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", "memory:") as server:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{server.url}/{'0' * 32}/progress")
        assert refused.value.status == 404


async def test_an_oversized_frame_closes_with_1009(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", "memory:") as server:
        url = await tus.create(http, server.url, 10)
        async with http.ws_connect(f"{url}/progress") as ws:
            assert (await ws.receive_json())["status"] == "pending"
            await ws.send_str("ignored")
            await ws.send_str("x" * 2000)
            await ws.receive()
            assert ws.close_code == 1009
