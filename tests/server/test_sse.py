"""Progress as Server-Sent Events: from joining to the final message, and on from where a watcher has come to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from event_stream import EVENTS, events_of
from onward_process import OnwardProcess, onward

DATA = b"0123456789"


@pytest.fixture
async def server(state_url: str, tmp_path: Path) -> AsyncIterator[OnwardProcess]:
    async with onward(tmp_path / "data", state_url) as process:
        yield process


async def follow(answer: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """Give the messages; each has its seq as its id."""
    async for id_, message in events_of(answer):
        assert id_ == str(message["seq"])
        yield message


async def test_an_upload_is_followed_to_its_end(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    url = await tus.create(http, server.url, len(DATA))
    async with http.get(f"{url}/progress", headers=EVENTS) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        messages = follow(answer)
        assert (await anext(messages))["status"] == "pending"
        await tus.patch(http, url, 0, DATA[:5])
        await tus.patch(http, url, 5, DATA[5:])
        seen = [message async for message in messages]
    assert (seen[-1]["status"], seen[-1]["uploadedBytes"]) == ("completed", 10)
    assert [message["seq"] for message in seen] == sorted({message["seq"] for message in seen})


async def test_nothing_on_the_way_may_change_or_keep_the_events(
    server: OnwardProcess, http: aiohttp.ClientSession
) -> None:
    url = await tus.create(http, server.url, len(DATA))
    async with http.get(f"{url}/progress", headers=EVENTS | {"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["Cache-Control"] == "no-store, no-transform"
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert "Content-Encoding" not in answer.headers


async def test_a_watcher_goes_on_where_it_was(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    url = await tus.create(http, server.url, len(DATA))
    await tus.patch(http, url, 0, DATA[:5])
    async with http.get(f"{url}/progress", headers=EVENTS) as answer:
        seq = (await anext(follow(answer)))["seq"]
    async with http.get(f"{url}/progress", headers=EVENTS | {"Last-Event-ID": str(seq)}) as answer:
        newer = asyncio.ensure_future(anext(follow(answer)))
        await asyncio.sleep(0.2)
        assert not newer.done()
        await tus.patch(http, url, 5, DATA[5:])
        assert (await newer)["seq"] > seq
        final = [message async for message in follow(answer)]
    last = str(final[-1]["seq"] if final else newer.result()["seq"])
    async with http.get(f"{url}/progress", headers=EVENTS | {"Last-Event-ID": last}) as answer:
        assert answer.status == 204
    for odd in ("", "x", "-1", "9" * 30, "٣"):
        async with http.get(f"{url}/progress", headers=EVENTS | {"Last-Event-ID": odd}) as answer:
            assert [message["status"] async for message in follow(answer)] == ["completed"]


async def test_a_forged_id_hides_nothing(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    url = await tus.create(http, server.url, len(DATA))
    await tus.patch(http, url, 0, DATA[:5])
    async with http.get(f"{url}/progress") as answer:
        seq = (await answer.json())["seq"]
    forged = [str(seq + 1), str(seq + 2), "9" * 18]
    async with AsyncExitStack() as stack:
        watchers = [
            follow(
                await stack.enter_async_context(http.get(f"{url}/progress", headers=EVENTS | {"Last-Event-ID": id_}))
            )
            for id_ in forged
        ]
        async with asyncio.timeout(20):
            assert [(await anext(watcher))["seq"] for watcher in watchers] == [seq] * len(forged)
            await tus.patch(http, url, 5, DATA[5:])
            final_uploads = [[message async for message in watcher][-1]["status"] for watcher in watchers]
    assert final_uploads == ["completed"] * len(forged)
    async with http.get(f"{url}/progress", headers=EVENTS | {"Last-Event-ID": forged[-1]}) as answer:
        assert [message["status"] async for message in follow(answer)] == ["completed"]


async def test_an_unknown_upload_is_404(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{server.url}/{'0' * 32}/progress", headers=EVENTS) as answer:
        assert answer.status == 404


async def test_a_stop_ends_the_events(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    url = await tus.create(http, server.url, len(DATA))
    async with http.get(f"{url}/progress", headers=EVENTS) as answer:
        messages = follow(answer)
        await anext(messages)
        assert await server.stop() == 0
        assert [message async for message in messages] == []
