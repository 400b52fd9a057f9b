"""The limit of unfinished uploads over Redis: what is put right after a crash, and that it costs nothing without."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from msgspec.structs import replace
from redis_process import RedisProcess
from test_state_contract import ID, UPLOAD, ignore

from onward.protocol.model import Status, UploadId
from onward.storage.base import Crowded, Full, Unreachable
from onward.storage.state.redis import open_limit, scripts
from onward.storage.state.redis.keys import COUNTED, OPEN_TAG, RESERVED, keys_of
from onward.storage.state.redis.open_limit import OpenLimit
from onward.storage.state.redis.state import RedisState, open_state

IDS = [UploadId(f"{number:032x}") for number in range(10)]


@pytest.fixture(params=["one", "cluster"])
async def state(request: pytest.FixtureRequest) -> AsyncIterator[RedisState]:
    url = request.getfixturevalue("redis_url" if request.param == "one" else "cluster")
    opened = await open_state(getattr(url, "url", url), Path(), node="a")
    yield opened
    await opened.close()


async def insert(state: RedisState, id: UploadId, most: int | None) -> bool:
    with suppress(Crowded):
        await state.insert(replace(UPLOAD, id=id), most=most)
        return True
    return False


async def count_now(state: RedisState, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next insert count, as if a minute had passed since the last count and the last reservation."""
    monkeypatch.setattr(open_limit, "AGE", -1.0)
    await state._client.delete(COUNTED)


async def test_without_a_limit_there_are_no_reservations(redis_process: RedisProcess, redis_url: str) -> None:
    state = await open_state(redis_url, Path(), node="a")
    await state.insert(UPLOAD)
    async with state.hold(ID, wait=0, on_rival=ignore) as lease:
        await state.save(replace(UPLOAD, epoch=lease.epoch, status=Status.TERMINATED))
    await state.forget(ID)
    assert redis_process.command("KEYS", f"{OPEN_TAG}*") == []
    assert "cmdstat_zrem" in redis_process.command("INFO", "commandstats")  # by the scripts
    await state.close()


async def test_uploads_of_servers_without_a_limit_are_counted(state: RedisState) -> None:
    for id_ in IDS[:3]:
        await insert(state, id_, None)
    assert [await insert(state, id_, 4) for id_ in IDS[3:6]] == [True, False, False]


async def test_what_a_crash_left_reserved_is_free_after_the_next_count(
    state: RedisState, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await insert(state, IDS[0], 2)
    await state._limit.reserve(IDS[1], 2)  # the server crashed before it inserted this one
    with monkeypatch.context() as crashing:

        async def crash(*_: Any) -> None:
            """Give nothing back."""

        crashing.setattr(OpenLimit, "give_back", crash)
        async with state.hold(IDS[0], wait=0, on_rival=ignore) as lease:
            ended = replace(UPLOAD, id=IDS[0], epoch=lease.epoch, status=Status.TERMINATED)
            await state.save(ended)
    assert not await insert(state, IDS[2], 2)
    await state._client.delete(COUNTED)
    assert not await insert(state, IDS[2], 2)  # the reservations are too young: their inserts may be on their way
    await count_now(state, monkeypatch)
    assert [await insert(state, id_, 2) for id_ in IDS[2:5]] == [True, True, False]


async def test_an_insert_that_comes_after_its_reservation_was_removed_is_refused(
    state: RedisState, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_script, arrived, go_on = scripts.INSERT, asyncio.Event(), asyncio.Event()
    run = state._commands.run

    async def suspended(text: str, keys: Any, *arguments: Any) -> Any:
        if text == insert_script and IDS[0] in arguments:
            arrived.set()
            await go_on.wait()
        return await run(text, keys, *arguments)

    monkeypatch.setattr(state._commands, "run", suspended)
    late = asyncio.create_task(insert(state, IDS[0], 1))
    await arrived.wait()
    await count_now(state, monkeypatch)
    assert await insert(state, IDS[1], 1)
    go_on.set()
    with pytest.raises(Unreachable):
        await late
    assert await state._client.zrange(RESERVED, 0, -1) == [IDS[1].encode()]
    assert not await state._client.exists(keys_of(IDS[0]).record)


async def test_an_upload_that_was_inserted_during_the_count_keeps_its_reservation(
    state: RedisState, monkeypatch: pytest.MonkeyPatch
) -> None:
    await state._limit.reserve(IDS[0], 1)
    of_each = state._commands.of_each

    async def slow(things: Any, command: Any) -> list[Any]:
        answers = await of_each(things, command)
        with monkeypatch.context() as reserved:
            reserved.setattr(state._limit, "reserve", AsyncMock())
            await insert(state, IDS[0], 1)
        return answers

    monkeypatch.setattr(state._commands, "of_each", slow)
    await count_now(state, monkeypatch)
    assert not await insert(state, IDS[1], 1)


async def test_a_full_redis_gives_the_reservation_back(state: RedisState, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise Full

    with monkeypatch.context() as filled:
        filled.setattr(state, "_run", full)
        with pytest.raises(Full):
            await insert(state, IDS[0], 1)
    assert await insert(state, IDS[1], 1)


async def test_a_creation_that_is_cancelled_reserves_nothing(state: RedisState) -> None:
    assert await insert(state, IDS[9], 2)
    for id_ in IDS[:5]:
        creating = asyncio.create_task(state._limit.reserve(id_, 2))
        await asyncio.sleep(0)
        creating.cancel()
        await asyncio.gather(creating, return_exceptions=True)
    assert await insert(state, IDS[8], 2)


async def test_a_lost_count_is_done_again(state: RedisState) -> None:
    assert [await insert(state, id_, 2) for id_ in IDS[:3]] == [True, True, False]
    await state._client.delete(RESERVED, COUNTED)  # as if this part of Redis had been lost
    assert not await insert(state, IDS[3], 2)
