"""A disk that hangs in the sync of some uploads: who needs no sync is answered, a stop ends in time, nothing is lost."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from checking_watcher import Watcher
from onward_process import ROOT, OnwardProcess

PROGRAM = str(ROOT / "tests" / "support" / "hung_disk_server.py")
DRAIN = 1
HALF, WHOLE = 2**18, 2**19
THREADS = 8  # that may hang at once
SOON = 5.0  # seconds that an answer may take at most, on a machine with much to do
HANG = 1.5  # seconds that the disk hangs on


class HungDisk:
    """A server, and the file that names the uploads whose sync hangs."""

    def __init__(self, folder: Path) -> None:
        self.names = folder / "hung"
        self.server = OnwardProcess(folder / "data", "sqlite:", [f"--drain={DRAIN}"], (PROGRAM, str(self.names)))

    async def hang(self, urls: list[str], data: bytes, http: aiohttp.ClientSession) -> list[asyncio.Task[tus.Response]]:
        """Send the second half to uploads whose sync hangs; gives the requests, once as many hang as can."""
        self.names.write_text("\n".join(url.rpartition("/")[2] for url in urls))
        sending = [asyncio.create_task(tus.patch(http, url, HALF, data[HALF:])) for url in urls]
        waiting = self.names.with_suffix(".waiting")
        async with asyncio.timeout(20):
            while not waiting.exists() or waiting.stat().st_size < min(len(urls), THREADS):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return sending

    def go_on(self) -> None:
        """Let the disk sync again."""
        self.names.unlink()


@asynccontextmanager
async def hung_disk(folder: Path) -> AsyncIterator[HungDisk]:
    """Run a server on a disk that may hang."""
    disk = HungDisk(folder)
    await disk.server.start()
    try:
        yield disk
    finally:
        if disk.server.running:
            await disk.server.kill9()


async def begun(http: aiohttp.ClientSession, files: str, data: bytes) -> str:
    """Create an upload with its first half stored."""
    url = await tus.create(http, files, len(data))
    assert (await tus.patch(http, url, 0, data[:HALF])).status == 204
    return url


@pytest.mark.parametrize("count", [3, THREADS + 2])
async def test_while_uploads_hang_all_others_are_answered(
    count: int, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with hung_disk(tmp_path) as disk:
        files, data, slowest = disk.server.url, os.urandom(WHOLE), 0.0
        done, idle = await begun(http, files, data), await begun(http, files, data)
        assert (await tus.patch(http, done, HALF, data[HALF:])).status == 204
        urls = [await begun(http, files, data) for _ in range(count)]
        sending = await disk.hang(urls, data, http)
        end = time.monotonic() + HANG
        while time.monotonic() < end:
            began = time.monotonic()
            async with asyncio.timeout(SOON):
                async with http.get(files.removesuffix("files") + "healthz") as answer:
                    assert answer.status == 200
                head = await tus.head(http, done)
                assert (head.status, head.headers["Upload-Offset"]) == (200, str(WHOLE))
                assert await tus.offset(http, idle) == HALF
                if count < THREADS:  # otherwise nobody can tell whether there is room
                    await tus.create(http, files, 1)
                for url in (urls[0], idle):
                    await Watcher(url).follow_until(HALF)
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.1)
        if count < THREADS:
            assert (await tus.patch(http, idle, HALF, data[HALF:])).status == 204
        async with http.get(files.removesuffix("files") + "readyz") as answer:
            assert answer.status == (200 if count < THREADS else 503)
        assert not any(task.done() for task in sending)
        disk.go_on()
        assert {answer.status for answer in await asyncio.wait_for(asyncio.gather(*sending), 20)} == {204}
        for url in [done, *urls]:
            assert (disk.server.data / "files" / url.rpartition("/")[2]).read_bytes() == data
    print(f"{count} hang: a round of requests took {slowest * 1000:.0f} ms at most")


async def test_a_stop_does_not_wait_for_a_disk_that_hangs(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with hung_disk(tmp_path) as disk:
        data, began = os.urandom(WHOLE), 0.0
        url = await begun(http, disk.server.url, data)
        (sending,) = await disk.hang([url], data, http)
        began = time.monotonic()
        assert await disk.server.stop() == 1
        print(f"ended {time.monotonic() - began:.1f} s after SIGTERM, with --drain={DRAIN}")
        assert isinstance((await asyncio.gather(sending, return_exceptions=True))[0], aiohttp.ClientError)
        disk.go_on()
        await disk.server.start()
        offset = await tus.offset(http, url)
        assert offset >= HALF
        if offset < WHOLE:
            assert (await tus.patch(http, url, offset, data[offset:])).status == 204
        assert (disk.server.data / "files" / url.rpartition("/")[2]).read_bytes() == data
