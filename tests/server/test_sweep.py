"""The sweep goes on whatever one upload is like, and takes away what nobody needs any more."""
# ruff: noqa: ASYNC110 - what another process does can only be polled

import asyncio
import os
import sqlite3
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from onward_process import OBEYING_MODES, ROOT, OnwardProcess, onward

ASLEEP = str(ROOT / "tests" / "support" / "suspended_server.py")
OPTIONS = ["--sweep-every=0.2", "--quiet-after=0.3", "--release-after=1.5"]
WRONG = {"Repr-Digest": f"sha-256=:{'A' * 43}=:"}


def files(server: OnwardProcess) -> set[str]:
    return {path.name for folder in ("partial", "files") for path in (server.data / folder).iterdir()}


async def until_gone(server: OnwardProcess, *urls: str) -> None:
    async with asyncio.timeout(10):
        while files(server) & {url.rpartition("/")[2] for url in urls}:
            await asyncio.sleep(0.1)


async def test_one_damaged_record_stops_nothing(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with onward(tmp_path / "data", "sqlite:", ["--expire-after=1", *OPTIONS]) as server:
        damaged, sound, other = [await tus.create(http, server.url, 9) for _ in range(3)]
        for url in (damaged, sound, other):
            assert (await tus.patch(http, url, 0, b"four")).status == 204
        await server.kill9()
        with closing(sqlite3.connect(server.data / "state.sqlite", isolation_level=None)) as db:
            db.execute("UPDATE uploads SET document = '{', due = 0 WHERE id = ?", (damaged.rpartition("/")[2],))
        await server.start()
        await until_gone(server, sound, other)
        assert damaged.rpartition("/")[2] in files(server)
        assert (await tus.head(http, damaged)).status == 423
        assert "can't be processed" in server.log()


async def test_the_log_names_no_whole_id_of_an_upload_that_cannot_be_looked_after(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", "sqlite:", ["--expire-after=1", *OPTIONS]) as server:
        url = await tus.create(http, server.url, 9)
        assert (await tus.patch(http, url, 0, b"four")).status == 204
        path = server.data / "partial" / url.rpartition("/")[2]
        path.unlink()
        path.mkdir()  # can't be removed as a file
        async with asyncio.timeout(10):
            while "can't be processed" not in server.log():
                await asyncio.sleep(0.02)
        assert path.name not in server.log()


async def test_bytes_without_a_record_go_once_they_are_old(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with onward(data, "sqlite:") as server:
        url = await tus.create(http, server.url, 9)
        assert (await tus.patch(http, url, 0, b"four")).status == 204
        await server.stop()
    kept, old = url.rpartition("/")[2], ("f" * 32, f".{'e' * 32}-12345678")
    for name in (*old, "d" * 32):
        (data / "partial" / name).write_bytes(b"stray")
    for name in (*old, kept):
        os.utime(data / "partial" / name, (0, 0))
    (data / "records").mkdir(exist_ok=True)
    halves = [data / "files" / old[1], data / "records" / old[1], data / "records" / f"{'b' * 32}.12345678"]
    for path in halves:
        path.write_bytes(b"half made")
        os.utime(path, (0, 0))
    young = data / "records" / f".{'a' * 32}-12345678"
    young.write_bytes(b"half made")
    (data / "files" / ("c" * 32)).write_bytes(b"published, its record is gone")
    os.utime(data / "files" / ("c" * 32), (0, 0))
    words = [sys.executable, "-m", "onward", "sweep", f"--data={data}"]
    sweep = await asyncio.create_subprocess_exec(*words, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert (await sweep.communicate())[0] == b"0 uploads processed, 5 leftovers removed\n"
    assert {path.name for path in (data / "partial").iterdir()} == {kept, "d" * 32}
    assert (data / "files" / ("c" * 32)).exists()
    assert young.exists()
    assert not any(path.exists() for path in halves)


async def test_the_bytes_of_a_failed_upload_go_before_its_record(
    http: aiohttp.ClientSession, state_url: str, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", state_url, OPTIONS) as server:
        url = await tus.create(http, server.url, 4, **WRONG)
        assert (await tus.patch(http, url, 0, b"four")).status == 460
        assert url.rpartition("/")[2] in files(server)
        await until_gone(server, url)
        assert (await tus.head(http, url)).status == 410


async def test_a_part_stays_for_the_final_upload_that_waits_with_it(
    http: aiohttp.ClientSession, state_url: str, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", state_url, OPTIONS) as server:
        shared, late = await tus.part(http, server.url, b"hello "), await tus.part(http, server.url, b"", 5)
        waiting = (await tus.final(http, server.url, [shared, late])).headers["Location"]
        assert (await tus.final(http, server.url, [shared])).status == 201
        await asyncio.sleep(4)
        assert (await tus.patch(http, late, 0, b"world")).status == 204
        async with asyncio.timeout(5):
            while (await tus.head(http, waiting)).headers.get("Upload-Offset") != "11":
                await asyncio.sleep(0.1)
        await until_gone(server, shared, late)


async def test_the_bytes_of_a_deleted_upload_go_though_the_server_died_before_it_removed_them(
    http: aiohttp.ClientSession, state_url: str, tmp_path: Path
) -> None:
    dying = OnwardProcess(tmp_path / "data", state_url, OPTIONS, program=(ASLEEP, "recorded:2"))
    await dying.start()
    url = await tus.create(http, dying.url, 9)
    assert (await tus.patch(http, url, 0, b"four")).status == 204
    deleting = asyncio.create_task(http.delete(url, headers=tus.TUS))
    async with asyncio.timeout(10):
        while not dying.is_stopped():
            await asyncio.sleep(0.02)
    assert url.rpartition("/")[2] in files(dying)
    await dying.kill9()
    with suppress(aiohttp.ClientError):
        await deleting
    async with onward(tmp_path / "data", state_url, OPTIONS) as server:
        path = f"{server.url}/{url.rpartition('/')[2]}"
        assert (await tus.head(http, path)).status == 410
        await until_gone(server, url)
        assert (await tus.head(http, path)).status == 410


@pytest.mark.parametrize("end", ["deleted", "expired"])
async def test_bytes_that_could_not_be_removed_go_soon(end: str, http: aiohttp.ClientSession, tmp_path: Path) -> None:
    options = ["--sweep-every=0.2", "--quiet-after=2", *(["--expire-after=1"] if end == "expired" else [])]
    server = OnwardProcess(tmp_path / "data", "sqlite:", options, program=("-c", OBEYING_MODES))
    await server.start()
    try:
        url = await tus.create(http, server.url, 9)
        assert (await tus.patch(http, url, 0, b"four")).status == 204
        (server.data / "partial").chmod(0o500)
        if end == "deleted":
            async with http.delete(url, headers=tus.TUS) as answer:
                assert answer.status == 204, "it is gone for all who ask, whatever becomes of its bytes"
        async with asyncio.timeout(10):
            while "can't be removed yet" not in server.log():
                await asyncio.sleep(0.02)
        assert (await tus.head(http, url)).status == 410
        assert url.rpartition("/")[2] in files(server)
        (server.data / "partial").chmod(0o700)
        await until_gone(server, url)
    finally:
        await server.kill9()


async def test_a_deleted_upload_is_looked_at_no_more_until_it_is_forgotten(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", "sqlite:", OPTIONS) as server:
        for _ in range(3):
            url = await tus.create(http, server.url, 9)
            async with http.delete(url, headers=tus.TUS) as answer:
                assert answer.status == 204
        await server.stop()
    with closing(sqlite3.connect(tmp_path / "data" / "state.sqlite")) as db:
        dues = [due for (due,) in db.execute("SELECT due FROM uploads")]
    assert len(dues) == 3
    assert min(dues) > time.time() + 86400
