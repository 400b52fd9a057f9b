"""`onward backup` while uploads run: what is restored elsewhere has all that was complete, and no offset without bytes."""

import asyncio
import hashlib
import os
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from client_process import Ended, run
from http_connection import Tus
from onward_process import OnwardProcess, onward
from redis_process import redis_server
from server_process import Start

from onward.server.control.backup import COMPLETE

pytestmark = pytest.mark.slow
SIZE = 300_000
STEP = 50_000


async def backup(server: OnwardProcess | Path, folder: Path, state: str) -> Ended:
    data = server if isinstance(server, Path) else server.data
    words = ("backup", str(folder), f"--data={data}", f"--state={state}", "--log-level=error")
    return await run(data.parent, *words)


async def send(http: aiohttp.ClientSession, url: str, data: bytes, begin: int, step: int) -> None:
    """Send the rest of an upload, in pieces."""
    for at in range(begin, len(data), step):
        assert (await tus.patch(http, url, at, data[at : at + step])).status == 204


class Load:
    """Uploads to one server: some complete, some paused, and some that run until they are stopped."""

    def __init__(self, http: aiohttp.ClientSession, server: OnwardProcess) -> None:
        self.http, self.server = http, server
        self.sent: dict[str, bytes] = {}
        self.known: dict[str, int] = {}  # the ids of those that do not change any more, with their offsets

    async def create(self) -> str:
        url = await tus.create(self.http, self.server.url, SIZE)
        self.sent[url.rpartition("/")[2]] = os.urandom(SIZE)
        return url

    async def until(self, offset: int) -> None:
        """Create an upload and send it up to an offset."""
        url = await self.create()
        id_ = url.rpartition("/")[2]
        await send(self.http, url, self.sent[id_][:offset], 0, offset)
        self.known[id_] = offset

    async def grow(self) -> None:
        """Append to the uploads that are known, which have not run since."""
        for id_, offset in self.known.items():
            if offset < SIZE:
                self.known[id_] = offset + STEP
                await send(self.http, f"{self.server.url}/{id_}", self.sent[id_][: offset + STEP], offset, STEP)

    async def run(self) -> None:
        """Upload one file after the other."""
        while True:
            url = await self.create()
            await send(self.http, url, self.sent[url.rpartition("/")[2]], 0, STEP)


async def how_it_came_back(http: aiohttp.ClientSession, url: str, data: bytes, known: int | None) -> str:
    """Finish an upload on the restored server, and compare its bytes; gives what it was before."""
    head = await tus.head(http, url)
    if head.status != 200:
        assert (known, head.status in {404, 410}) == (None, True)
        return str(head.status)
    offset = int(head.headers["Upload-Offset"])
    assert known in {None, offset}
    if offset < SIZE:
        answer = await tus.patch(http, url, offset, data[offset:])
        if answer.status == 410:  # it was finished while the backup ran, so that its bytes were at neither place
            assert known is None
            return "lost"
        assert answer.status == 204
    async with http.get(url) as answer:
        assert hashlib.sha256(await answer.read()).digest() == hashlib.sha256(data).digest()
    return "complete" if offset == SIZE else "unfinished"


@pytest.mark.parametrize("layout", ["{id}", "{date:%Y}/{id}"], ids=["flat", "folders"])
async def test_a_backup_of_a_running_server_is_restored_elsewhere(
    http: aiohttp.ClientSession, state_url: str, tmp_path: Path, layout: str
) -> None:
    options = [f"--layout={layout}", "--durability=process", "--log-level=warning"]
    async with onward(tmp_path / "data", state_url, options) as server:
        load = Load(http, server)
        for offset in (SIZE, SIZE, STEP, STEP):
            await load.until(offset)
        running = [asyncio.create_task(load.run()) for _ in range(3)]
        for again in (False, True):  # into the same folder
            if again:
                await load.grow()
            ended = await backup(server, tmp_path / "backup", state_url)
            assert ended.code == 0, ended.err
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.stop()
    with redis_server(tmp_path) as other:
        state = state_url if state_url == "sqlite:" else other.url
        async with onward(tmp_path / "backup", state, options) as restored:
            seen = Counter(
                [
                    await how_it_came_back(http, f"{restored.url}/{id_}", data, load.known.get(id_))
                    for id_, data in load.sent.items()
                ]
            )
        print(dict(seen))
        assert seen["complete"] > 2


def test_what_is_no_backup_is_not_overwritten(start: Start, tmp_path: Path) -> None:
    server = start()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").write_text("mine")
    for folder, why in ((tmp_path / "full", "no backup"), (server.data / "inside", "in the data folder")):
        ended = asyncio.run(backup(server.data, folder, "sqlite:"))
        assert (ended.code, why in ended.err) == (2, True), ended.err


def test_a_backup_needs_no_server_and_removes_what_is_gone(start: Start, tmp_path: Path) -> None:
    server = start()
    path = Tus.begun(server.tus, b"12345", 5)
    server.process.kill()
    server.process.wait()
    for count in (1, 0):
        ended = asyncio.run(backup(server.data, tmp_path / "backup", "sqlite:"))
        assert (ended.code, ended.out.startswith(f"{count} files")) == (0, True), ended
        for file in server.bytes_of(path):
            file.unlink()
    assert (tmp_path / "backup" / COMPLETE).read_text() == "yes\n"
