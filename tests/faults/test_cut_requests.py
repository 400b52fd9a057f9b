"""kill -9 while a PUT or a form is received: no half file is published, and what is left disappears by itself.

Nobody can go on with these uploads, so unlike all others they don't wait for the days of `--expire-after`.
"""

# ruff: noqa: ASYNC110 - what another process does can only be polled

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from async_http_connection import Lost, connected
from forking_server import STRIDE, zygote
from form_bodies import field, file, form, headers
from layout_folder import LayoutFolder

from onward.protocol.model import Status

CONFIG = {"sweep_every": 0.05, "quiet_after": 0.05}
DATA = bytes(range(256)) * (5 * STRIDE // 256)
FORM = form(file("first", b"is whole"), field("a", b"b"), file("second", DATA))
POINTS = (
    ("created", 1), ("opened", 1), ("written", 3), ("synced", 2), ("recorded", 1), ("recorded", 3), ("judged", 1), ("sealed", 1),
    ("answering", 1),
)  # fmt: skip
WITHIN = 10.0
KEPT = (Status.COMPLETED, Status.EXPIRED, Status.TERMINATED, Status.VERIFYING)  # of an upload that has bytes


async def sent(port: int, way: str) -> None:
    """Send a file, or two in a form, to a server that may die."""
    with suppress(Lost):
        async with connected(port) as line:
            if way == "put":
                await line.ask("PUT", "/files/second", {}, DATA)
            else:
                await line.ask("POST", "/files", headers(len(FORM)), FORM)


@pytest.mark.parametrize("way", ["put", "form"])
async def test_a_kill_leaves_whole_files_or_nothing(tmp_path: Path, way: str) -> None:
    wholes = {DATA} if way == "put" else {DATA, b"is whole"}
    async with zygote(tmp_path / "log") as warm:
        for point, hit in POINTS:
            folder = LayoutFolder(tmp_path / f"{point}{hit}")
            child = await warm.fork(folder.path, point=point, hit=hit, config=CONFIG)
            port = await child.port()
            assert port is not None
            await sent(port, way)
            await child.kill()
            folder.check_at_rest()
            child = await warm.fork(folder.path, config=CONFIG)
            assert await child.port()
            async with asyncio.timeout(WITHIN):
                while list((folder.path / "partial").iterdir()):
                    await asyncio.sleep(0.02)
            await child.kill()
            folder.check_at_rest()
            for record in folder.records():
                assert record.in_one_request
                assert record.status in KEPT or not record.offset, record
            assert {each.read_bytes() for each in (folder.path / "files").iterdir()} <= wholes
        assert "Traceback" not in warm.log(), warm.log()
