"""Equal uploads on a file system that can share blocks: the room that they take, and kill -9 around the sharing."""

import asyncio
import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from async_http_connection import Lost, connected, resume
from forking_server import Zygote
from http_connection import path_of, poll
from mounts import sharing_disk
from server_process import serving
from shown_upload import shown_upload, shown_uploads

DATA = hashlib.shake_256(b"killed").digest(5_000_001)
CONFIG: dict[str, Any] = {"sweep_every": 0.05, "quiet_after": 0.05, "duplicates": "share"}
KINDS = ("xfs", "btrfs")


def id_of(path: str) -> str:
    return path.rpartition("/")[2]


@pytest.mark.parametrize("layout", ["{id}", "{sha256:2}/{name}"])
@pytest.mark.parametrize("kind", KINDS)
def test_ten_equal_uploads_take_the_room_of_one(kind: str, layout: str, tmp_path: Path) -> None:
    data = hashlib.shake_256(b"room").digest(10_000_001)
    options = ["--duplicates=share", f"--layout={layout}"]
    with (
        sharing_disk(tmp_path / "disk", kind) as disk,
        serving(disk.folder / "data", options, log=tmp_path / "log") as server,
    ):
        empty = disk.used()
        paths = [server.tus.stored(data) for _ in range(10)]
        assert disk.used() - empty < 2 * len(data)
        shown = shown_uploads(disk.folder / "data", [id_of(path) for path in paths])
        assert [upload["duplicateOf"] for upload in shown] == [
            None,
            *(id_of(path) for path in paths[:-1]),
        ]
        for path in paths[:-1]:
            assert server.tus.ask("DELETE", path, {"Tus-Resumable": "1.0.0"}).status == 204
        assert server.tus.ask("GET", paths[-1]).body == data
        assert server.tus.ask("DELETE", paths[-1], {"Tus-Resumable": "1.0.0"}).status == 204
        poll(lambda: disk.used() - empty < len(data) // 4)  # XFS frees shared blocks a little later


async def create(port: int) -> str:
    async with connected(port) as line:
        return path_of((await line.ask("POST", "/files", {"Upload-Length": str(len(DATA))})).headers["location"])


async def duplicate_of(data: Path, port: int, path: str, state: str) -> str | None:
    """Wait until the upload is completed; only its progress is asked for, so that the sweep may have to do it."""
    async with asyncio.timeout(20):
        while True:
            async with connected(port) as line:
                message: dict[str, Any] = json.loads((await line.ask("GET", f"{path}/progress", {})).body)
            if message["completed"]:
                break
            await asyncio.sleep(0.02)
    shown = await asyncio.to_thread(shown_upload, data, id_of(path), f"--state={state}")
    found: str | None = shown["duplicateOf"]
    return found


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("state", ["sqlite:", "redis"])
@pytest.mark.parametrize(
    ("kind", "point"), [("xfs", "sealed"), ("xfs", "shared"), ("xfs", "recorded"), ("btrfs", "shared")]
)
async def test_a_kill_around_the_sharing_loses_nothing(
    kind: str, point: str, state: str, warm: Zygote, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    config = CONFIG | {"state": request.getfixturevalue("redis_url") if state == "redis" else state}
    with sharing_disk(tmp_path / "disk", kind) as disk:
        data = disk.folder / "data"
        child = await warm.fork(data, config=config, hasty=True)
        port = await child.living_port()
        first = await create(port)
        await resume(port, first, DATA)
        assert await duplicate_of(data, port, first, config["state"]) is None
        second = await create(port)
        await child.kill()
        one = disk.used()

        for hit in (1, 2):
            child = await warm.fork(data, point=point, hit=hit, config=config, hasty=True)
            with suppress(Lost):
                if port_ := await child.port():
                    await resume(port_, second, DATA)
                    await asyncio.sleep(0.1)
            await child.kill()

        child = await warm.fork(data, config=config, hasty=True)
        port = await child.living_port()
        await resume(port, second, DATA)
        assert await duplicate_of(data, port, second, config["state"]) == id_of(first)
        poll(lambda: disk.used() - one < len(DATA) // 2)
        async with connected(port) as line:
            assert (await line.ask("DELETE", first, {"Tus-Resumable": "1.0.0"})).status == 204
        async with connected(port) as line:
            assert (await line.ask("GET", second, {})).body == DATA
        await child.kill()
