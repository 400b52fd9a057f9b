"""`receivedBytes`: what has arrived of a body, before any of it is recorded."""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import tus_requests as tus
from event_stream import EVENTS, events_of
from onward_process import onward

DATA = bytes(range(256)) * 4096  # 1 MiB
PIECES = 10
BETWEEN = 0.15  # seconds


async def slowly(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), step := -(-len(data) // PIECES)):
        yield data[at : at + step]
        await asyncio.sleep(BETWEEN)


def checksum(data: bytes) -> str:
    return f"sha1 {base64.b64encode(hashlib.sha1(data).digest()).decode()}"


async def followed(http: aiohttp.ClientSession, url: str) -> list[tuple[float, dict[str, object]]]:
    """Give all messages over a WebSocket, with their times, until the end or the first `paused`."""
    told = []
    async with http.ws_connect(f"{url}/progress") as ws:
        async for message in ws:
            told.append((time.monotonic(), message.json()))
            if told[-1][1]["status"] == "paused":
                break
    return told


async def test_watchers_of_all_servers_see_the_bytes_of_a_body_with_a_checksum_arrive(
    tmp_path: Path, redis_url: str, http: aiohttp.ClientSession
) -> None:
    async with onward(tmp_path / "data", redis_url) as a, onward(tmp_path / "data", redis_url) as b:
        url = await tus.create(http, a.url, len(DATA))
        there = f"{b.url}/{url.rpartition('/')[2]}"
        following = [asyncio.create_task(followed(http, each)) for each in (url, there)]
        sending = asyncio.create_task(tus.patch(http, url, 0, slowly(DATA), Upload_Checksum=checksum(b"another")))
        await asyncio.sleep(BETWEEN * PIECES / 2)
        async with http.get(f"{url}/progress") as answer:
            snapshot, etag = await answer.json(), answer.headers["ETag"]
        assert snapshot["uploadedBytes"] == 0 < snapshot["receivedBytes"] < len(DATA)
        assert snapshot["status"] == "uploading"
        await asyncio.sleep(BETWEEN * 2)
        async with http.get(f"{url}/progress", headers={"If-None-Match": etag}) as answer:
            assert (await answer.json())["receivedBytes"] > snapshot["receivedBytes"]
        assert (await sending).status == 460
        for messages in await asyncio.gather(*following):
            told = [message["receivedBytes"] for _, message in messages]
            assert len(set(told)) > 3, told
            assert (told[-1], messages[-1][1]["status"]) == (0, "paused"), "what was dropped has not arrived"
            orders = [(message["seq"], message["receivedBytes"]) for _, message in messages]
            assert orders == sorted(set(orders))
            assert all(message["uploadedBytes"] == 0 for _, message in messages)


async def test_messages_of_the_same_record_have_the_same_id_as_events(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with onward(tmp_path / "data", "sqlite:") as server:
        url = await tus.create(http, server.url, len(DATA))
        async with http.get(f"{url}/progress", headers=EVENTS) as answer:
            answer_to = tus.patch(http, url, 0, slowly(DATA), Upload_Checksum=checksum(DATA))
            sending = asyncio.create_task(answer_to)
            events = [(int(known), message) async for known, message in events_of(answer)]
        assert (await sending).status == 204
        assert all(known == message["seq"] for known, message in events)
        first = [message["receivedBytes"] for known, message in events if known == events[0][0]]
        assert len(first) > 2
        assert first == sorted(first), json.dumps(first)
        assert (events[-1][1]["status"], events[-1][1]["receivedBytes"]) == ("completed", len(DATA))
