"""Who was asleep past its lease changes nothing: neither bytes nor records nor what watchers are told."""

import asyncio
import hashlib
import os
import signal
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp
import tus_requests as tus
from checking_watcher import Watcher
from mounts import elsewhere
from onward_process import PROGRAM, ROOT, OnwardProcess, onward
from redis_process import RedisProcess, redis_server

from onward.protocol.model import UploadId
from onward.storage.state.redis.keys import keys_of
from onward.storage.state.redis.leases import LEASE

ASLEEP = str(ROOT / "tests" / "support" / "suspended_server.py")
SIZE, HALF = 2**20, 2**19
REFUSED = {409, 423, 503}
EMPTIED = "in the middle of a PATCH, and Redis is emptied"
POINTS = {
    "in the middle of a PATCH": "",
    EMPTIED: "",
    "between the first bytes and their record": "written:1",
    "between later bytes and their record": "written:2",
    "before the record of a stride": "synced:2",
    "after the record of a stride": "recorded:2",
    "before its file is published": "sealing:1",
    "once its file has its name": "renamed:1",
    "before its file is recorded as complete": "sealed:1",
}
ELSEWHERE = {
    "before its file is copied": "sealing:1",
    "before the copy has its name": "publishing:1",
    "once the copy has its name": "renamed:1",
    "once the unfinished file is removed": "sealed:1",
}

LAID = {
    "before its file is marked": "judged:1",
    "before its path is recorded": "staged:1",
    "once its path is recorded": "placed:1",
    "before its file gets its path": "sealing:1",
    "once its file has its path": "renamed:1",
    "before its file is recorded as complete": "sealed:1",
}


async def slowly(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), SIZE // 16):
        yield data[at : at + SIZE // 16]
        await asyncio.sleep(0.05)


async def send(http: aiohttp.ClientSession, url: str, data: bytes, offset: int = 0) -> int:
    """Send everything, and give the status; 0 where the connection was cut."""
    with suppress(aiohttp.ClientError):
        return (await tus.patch(http, url, offset, slowly(data), Content_Length=str(len(data)))).status
    return 0


async def until_asleep(server: OnwardProcess) -> None:
    """Wait until a server has stopped itself."""
    async with asyncio.timeout(10):
        while not server.is_stopped():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def check(name: str, point: str, folder: Path, layout: str = "{id}") -> None:
    """Let A fall asleep, B finish with other bytes where A has told too few, and A wake up."""
    with redis_server(folder) as redis:
        await check_over(name, point, redis, folder, [f"--layout={layout}"])


async def check_elsewhere(name: str, point: str, folder: Path, layout: str = "{id}") -> None:
    """The same with published files on another file system."""
    (folder / "data").mkdir(parents=True)
    with elsewhere(folder / "data" / "files") as files:
        await check(name, point, folder, layout)
        assert len(list(files.iterdir())) == 1, "a half-made file was left"


async def check_over(name: str, point: str, redis: RedisProcess, folder: Path, options: Sequence[str]) -> None:
    a = OnwardProcess(folder / "data", redis.url, options, program=(ASLEEP, point) if point else PROGRAM)
    async with onward(folder / "data", redis.url, options) as b, aiohttp.ClientSession() as http:
        try:
            await a.start()
            data = os.urandom(SIZE)
            url = await tus.create(http, a.url, SIZE)
            there = f"{b.url}/{url.rpartition('/')[2]}"
            watcher = Watcher(there)
            async with watcher.watching():
                sending = asyncio.create_task(send(http, url, data))
                if point:
                    await until_asleep(a)
                else:
                    await watcher.until(HALF // 2)
                    a.process.send_signal(signal.SIGSTOP)
                if name == EMPTIED:
                    redis.flush()
                began = time.monotonic()
                offset = await tus.offset(http, there)
                assert time.monotonic() - began < LEASE + 2
                assert offset >= watcher.last["uploadedBytes"]
                whole = data[:offset] + os.urandom(SIZE - offset)
                if offset < SIZE:
                    assert (await tus.patch(http, there, offset, whole[offset:])).status == 204
            async with http.get(f"{there}/progress") as answer:
                file = folder / "data" / "files" / (await answer.json())["path"]
            assert file.read_bytes() == whole
            before, told = await seen(redis, http, there), watcher.last
            a.process.send_signal(signal.SIGCONT)
            assert await asyncio.wait_for(sending, 10) in REFUSED | {0} | ({204} if offset == SIZE else set())
            await asyncio.sleep(0.5)
            assert file.read_bytes() == whole, f"{name}: who was asleep changed the bytes"
            assert await seen(redis, http, there) == before, f"{name}: who was asleep changed the record"
            assert not list((folder / "data" / "partial").glob("*[!.]*"))
            assert [each for each in (folder / "data" / "files").iterdir() if each.is_file()] == [file]
            late = Watcher(url)
            async with late.watching():
                pass
            assert late.last["seq"] == told["seq"]
        finally:
            if a.running:
                await a.kill9()


async def seen(redis: RedisProcess, http: aiohttp.ClientSession, url: str) -> list[object]:
    """Give the record as Redis has it, and what is told of it."""
    record = redis.command("HMGET", keys_of(UploadId(url.rpartition("/")[2])).record, "document", "version")
    async with http.get(f"{url}/progress") as answer:
        return [record, await answer.json()]


async def test_who_was_asleep_changes_nothing(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as checks:
        for name, point in POINTS.items():
            (tmp_path / name).mkdir()
            checks.create_task(check(name, point, tmp_path / name))


async def test_who_was_asleep_while_its_file_was_copied_elsewhere_changes_nothing(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as checks:
        for name, point in ELSEWHERE.items():
            checks.create_task(check_elsewhere(name, point, tmp_path / name))


async def test_who_was_asleep_while_its_file_got_the_path_of_a_layout_changes_nothing(tmp_path: Path) -> None:
    async with asyncio.TaskGroup() as checks:
        for name, point in LAID.items():
            for number, one in enumerate((check, check_elsewhere)):
                folder = tmp_path / f"{name} {number}"
                folder.mkdir()
                checks.create_task(one(name, point, folder, "{name}"))


async def test_who_wakes_up_before_the_end_opens_no_file_of_another(
    http: aiohttp.ClientSession, redis_url: str, tmp_path: Path
) -> None:
    a = OnwardProcess(tmp_path / "data", redis_url, program=(ASLEEP, "opening:1"))
    async with onward(tmp_path / "data", redis_url) as b:
        try:
            await a.start()
            data, other = os.urandom(SIZE), os.urandom(SIZE)
            there = await tus.create(http, b.url, SIZE)
            assert (await tus.patch(http, there, 0, data[: HALF // 2])).status == 204
            url = f"{a.url}/{there.rpartition('/')[2]}"
            sending = asyncio.create_task(send(http, url, other[HALF // 2 :], HALF // 2))
            await until_asleep(a)
            assert await tus.offset(http, there) == HALF // 2
            assert (await tus.patch(http, there, HALF // 2, data[HALF // 2 : HALF])).status == 204
            a.process.send_signal(signal.SIGCONT)
            assert await asyncio.wait_for(sending, 10) in REFUSED | {0}
            assert (await tus.patch(http, there, HALF, data[HALF:])).status == 204
            assert (b.data / "files" / url.rpartition("/")[2]).read_bytes() == data
        finally:
            if a.running:
                await a.kill9()


async def test_who_falls_asleep_while_it_shuts_out_another_moves_nothing(
    http: aiohttp.ClientSession, redis_url: str, tmp_path: Path
) -> None:
    first = OnwardProcess(tmp_path / "data", redis_url, program=(ASLEEP, "synced:1"))
    second = OnwardProcess(tmp_path / "data", redis_url, program=(ASLEEP, "fencing:1"))
    async with onward(tmp_path / "data", redis_url, ["--quiet-after=60"]) as third:  # or its sweep shuts them out
        try:
            await asyncio.gather(first.start(), second.start())
            data = os.urandom(SIZE)
            there = await tus.create(http, third.url, SIZE)
            assert (await tus.patch(http, there, 0, data[:100])).status == 204
            name = there.rpartition("/")[2]
            sending = [asyncio.create_task(send(http, f"{first.url}/{name}", os.urandom(SIZE - 100), 100))]
            await until_asleep(first)
            sending.append(asyncio.create_task(send(http, f"{second.url}/{name}", os.urandom(SIZE - 100), 100)))
            await until_asleep(second)
            assert await tus.offset(http, there) == 100
            assert (await tus.patch(http, there, 100, data[100:HALF])).status == 204
            for each in (second, first):
                each.process.send_signal(signal.SIGCONT)
            assert set(await asyncio.wait_for(asyncio.gather(*sending), 10)) <= REFUSED | {0}
            assert await tus.offset(http, there) == HALF
            assert (await tus.patch(http, there, HALF, data[HALF:])).status == 204
            assert (third.data / "files" / name).read_bytes() == data
        finally:
            for each in (first, second):
                if each.running:
                    await each.kill9()


async def test_who_wakes_up_publishes_nothing_that_another_has_found_wrong(
    http: aiohttp.ClientSession, redis_url: str, tmp_path: Path
) -> None:
    a = OnwardProcess(tmp_path / "data", redis_url, program=(ASLEEP, "sealing:1"))
    async with onward(tmp_path / "data", redis_url) as b:
        try:
            await a.start()
            data = os.urandom(SIZE)
            digest = b64encode(hashlib.sha256(data).digest()).decode()
            url = await tus.create(http, a.url, SIZE, **{"Repr-Digest": f"sha-256=:{digest}:"})
            name = url.rpartition("/")[2]
            sending = asyncio.create_task(send(http, url, data))
            await until_asleep(a)
            (b.data / "partial" / name).chmod(0o600)
            with (b.data / "partial" / name).open("r+b") as file:
                file.write(bytes(100))  # as a broken disk would
            assert (await tus.head(http, f"{b.url}/{name}")).status == 410
            a.process.send_signal(signal.SIGCONT)
            assert await asyncio.wait_for(sending, 20) in REFUSED | {0}
            assert not (b.data / "files" / name).exists()
            assert (await tus.head(http, url)).status == 410
        finally:
            if a.running:
                await a.kill9()


async def test_a_killed_node_gives_way_within_its_lease(
    http: aiohttp.ClientSession, redis_url: str, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", redis_url) as a, onward(tmp_path / "data", redis_url) as b:
        data = os.urandom(SIZE)
        url = await tus.create(http, a.url, SIZE)
        there = f"{b.url}/{url.rpartition('/')[2]}"
        sending = asyncio.create_task(send(http, url, data))
        await Watcher(there).follow_until(HALF // 2)
        await a.kill9()
        began = time.monotonic()
        assert await sending == 0
        offset = await tus.offset(http, there)
        assert (await tus.patch(http, there, offset, data[offset:])).status == 204
        assert time.monotonic() - began < LEASE + 2
        assert (b.data / "files" / url.rpartition("/")[2]).read_bytes() == data
