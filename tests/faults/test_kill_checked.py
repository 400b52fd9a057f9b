"""kill -9 around a check: nothing is published unchecked, nothing is lost, and a held upload is finished unasked."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from async_http_connection import Lost, connected, resume
from forking_server import Zygote
from http_connection import Answer, path_of

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
DATA = b"to be scanned" * 20_000
CONFIG: dict[str, Any] = {"sweep_every": 0.05, "quiet_after": 0.05}
POINTS = ("judged", "checked", "held", "recorded", "renamed", "sealed")
HITS = (1, 2)
VERDICTS = (("down", "clean"), ("down", "infected"), ("clean", "clean"), ("infected", "infected"))  # first, and later


async def told(port: int, path: str) -> dict[str, Any]:
    async with connected(port) as line:
        answer = await line.ask("GET", f"{path}/progress", {})
        message: dict[str, Any] = json.loads(answer.body)
        return message


async def ended(port: int, path: str) -> dict[str, Any]:
    """Wait until the upload has ended; only its progress is asked for."""
    async with asyncio.timeout(20):
        while True:
            message = await told(port, path)
            if message["status"] in ("completed", "failed"):
                return message
            await asyncio.sleep(0.02)


async def head(port: int, path: str) -> Answer:
    async with connected(port) as line:
        return await line.ask("HEAD", path, {})


@pytest.mark.parametrize(("first", "then"), VERDICTS)
@pytest.mark.parametrize("point", POINTS)
async def test_a_kill_around_a_check_publishes_nothing_unchecked_and_loses_nothing(
    point: str, then: str, first: str, warm: Zygote, tmp_path: Path
) -> None:
    for hit in HITS:
        await _killed(warm, tmp_path, CONFIG, (first, then), (point, hit))


@pytest.mark.parametrize(("first", "then"), VERDICTS[:2])
@pytest.mark.parametrize("point", ["held", "recorded"])
async def test_a_held_upload_of_a_killed_node_is_finished_by_another(
    point: str, then: str, first: str, warm: Zygote, tmp_path: Path, redis_url: str
) -> None:
    await _killed(warm, tmp_path, CONFIG | {"state": redis_url}, (first, then), (point, 2))


async def _killed(
    warm: Zygote, tmp_path: Path, config: dict[str, Any], verdicts: tuple[str, str], struck: tuple[str, int]
) -> None:
    """Upload, be killed, come back, and let the scanner change its mind."""
    (first, then), (point, hit) = verdicts, struck
    data, scanner = tmp_path / f"data{hit}", tmp_path / "scanner"
    files = data / "files"
    scanner.write_text(first)
    child = await warm.fork(data, config=config, scanner=str(scanner), hasty=True)
    port = await child.living_port()
    async with connected(port) as line:
        path = path_of((await line.ask("POST", "/files", {"Upload-Length": str(len(DATA))})).headers["location"])
    await child.kill()

    child = await warm.fork(data, point=point, hit=hit, config=config, scanner=str(scanner), hasty=True)
    with suppress(Lost):
        if reached := await child.port():
            await resume(reached, path, DATA)
            await asyncio.sleep(0.2)  # the sweep may reach the point
    await child.kill()
    if first != "clean":
        assert not list(files.iterdir()), "it is visible, and no check has passed it"

    child = await warm.fork(data, config=config, scanner=str(scanner), hasty=True)
    port = await child.living_port()
    await resume(port, path, DATA)
    state = await head(port, path)
    if first == "down":
        assert (state.status, state.headers.get("upload-offset")) == (423, None)
        assert not list(files.iterdir())
    await child.kill()

    scanner.write_text(then)
    child = await warm.fork(data, config=config, scanner=str(scanner), hasty=True)
    port = await child.living_port()
    end = await ended(port, path)
    infected = then == "infected"
    assert end["status"] == ("failed" if infected else "completed")
    published = [file.read_bytes() for file in files.iterdir()]
    assert published == ([] if infected else [DATA])
    state = await head(port, path)
    assert state.status == (410 if infected else 200)
    await child.kill()
