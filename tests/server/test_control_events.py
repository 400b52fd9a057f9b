"""`onward events`: what waits in the outbox and what was given up, beside a running server and without one."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import tus_requests as tus
from client_process import Ended, run
from onward_process import onward
from webhook_receiver import SECRET, answer_with, receiver, take


async def command(data: Path, state: str, *words: str) -> Ended:
    ended = await run(data.parent, *words, f"--data={data}", f"--state={state}", "--log-level=error")
    assert (ended.code, ended.err) == (0, "")
    return ended


async def events(data: Path, state: str, *words: str) -> list[dict[str, Any]]:
    """Give what `onward events --json` prints."""
    found: list[dict[str, Any]] = json.loads((await command(data, state, "events", "--json", *words)).out)
    return found


async def test_events_that_were_given_up_are_listed_and_tried_again(
    state_url: str, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    data = tmp_path / "data"
    async with receiver(answer_with(500)) as hook:
        words = [f"--webhook={hook.url}", f"--webhook-secret={SECRET}", "--webhook-retry-for=1s"]
        async with onward(data, state_url, words) as server:
            id_ = (await tus.create(http, server.url, 10)).rpartition("/")[2]
            async with asyncio.timeout(20):
                while not (failed := await events(data, state_url, "--failed")):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            (event,) = failed
            assert (event["type"], event["status"], event["uploadId"]) == ("upload.created", "failed", id_)
            assert event["target"] == f"http://127.0.0.1:{hook.url.split(':')[2].partition('/')[0]}/…"
            assert await events(data, state_url) == failed
            shown = (await command(data, state_url, "events")).out
            assert shown == f"{event['timestamp']}  failed   upload.created     {id_}  {event['target']}\n"
            hook.answer = take
            again = await command(data, state_url, "events", "--retry")
            assert again.out == "1 event waits again\n"
            await hook.until(lambda: [got.upload for got in hook.taken] == [id_], within=10)
            assert await events(data, state_url) == []


async def test_events_wait_while_no_server_runs_and_rm_adds_one(
    state_url: str, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    data = tmp_path / "data"
    async with receiver(answer_with(500)) as hook:
        words = [f"--webhook={hook.url}", f"--webhook-secret={SECRET}"]
        async with onward(data, state_url, words) as server:
            id_ = (await tus.create(http, server.url, 10)).rpartition("/")[2]
            await server.stop()
            await command(data, state_url, "rm", id_, *words[:2])
            waiting = await events(data, state_url)
            assert [(each["type"], each["status"]) for each in sorted(waiting, key=lambda each: each["seq"])] == [
                ("upload.created", "waiting"),
                ("upload.terminated", "waiting"),
            ]
            hook.answer = take
            await server.start()
            await hook.until(
                lambda: [got.type for got in hook.taken] == ["upload.created", "upload.terminated"], within=10
            )
