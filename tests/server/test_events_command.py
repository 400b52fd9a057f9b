"""`onward events`: what waits, what failed, and another attempt; while the server runs and without it, on each state."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from client_process import Ended, run
from onward_process import onward
from webhook_receiver import SECRET, answer_with, receiver, take


async def command(data: Path, state: str, *words: str) -> Ended:
    return await run(data.parent, "events", *words, f"--data={data}", f"--state={state}", "--log-level=error")


async def listed(data: Path, state: str, *words: str) -> list[dict[str, Any]]:
    """Give what `onward events` prints as JSON."""
    ended = await command(data, state, "--json", *words)
    assert (ended.code, ended.err) == (0, "")
    found: list[dict[str, Any]] = json.loads(ended.out)
    return found


async def test_failed_events_are_listed_and_delivered_after_all(
    http: aiohttp.ClientSession, tmp_path: Path, state_url: str
) -> None:
    data = tmp_path / "data"
    async with receiver(answer_with(500)) as hook:
        options = [f"--webhook={hook.url}", f"--webhook-secret={SECRET}", "--webhook-retry-for=0.5"]
        async with onward(data, state_url, options) as server:
            url = await tus.create(http, server.url, 4)
            assert (await tus.patch(http, url, 0, b"four")).status == 204
            id_ = url.rpartition("/")[2]
            await hook.until(lambda: server.log().count("is given up") == 2)
            assert await listed(data, state_url) == []
            failed = await listed(data, state_url, "--failed")
            assert {event["type"] for event in failed} == {"upload.created", "upload.completed"}
            assert {event["uploadId"] for event in failed} == {id_}
            assert {event["id"] for event in failed} == {f"{id_}_created", f"{id_}_completed"}
            assert {event["target"] for event in failed} == {hook.url}
            table = await command(data, state_url, "--failed")
            assert table.out.splitlines()[0].split() == ["UPLOAD", "EVENT", "AGE", "TARGET"]
            assert hook.url in table.out
            hook.answer = take
            retried = await command(data, state_url, "--retry")
            assert (retried.code, retried.out) == (0, "2 events are tried again\n")
            await hook.until(lambda: hook.order(id_) == ["upload.created", "upload.completed"])
            assert await listed(data, state_url, "--failed") == []
            assert await server.stop() == 0
        assert (await command(data, state_url)).err == "no events\n"


@pytest.mark.parametrize("words", [["--failed", "--retry"]])
async def test_only_one_of_the_two_may_be_given(tmp_path: Path, words: list[str]) -> None:
    assert (await command(tmp_path, "sqlite:", *words)).code == 2
