"""Quotas over Redis: what a crash leaves is put right, what Redis loses is counted again, and nothing is done without."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace
from redis_process import RedisProcess
from test_quotas_contract import QUOTA, insert, made
from test_state_contract import ID, UPLOAD, ignore

from onward.protocol.model import Allowance, Status, Upload, UploadId
from onward.storage import open_storage
from onward.storage.base import Full, Unreachable, Usage
from onward.storage.recovery import RecoveringState
from onward.storage.state.redis import quotas, scripts
from onward.storage.state.redis.keys import keys_of
from onward.storage.state.redis.quotas import RedisQuotas
from onward.storage.state.redis.state import RedisState, open_state

BOTH = Allowance(quota=100, token="link", max_uploads=2)


@pytest.fixture(params=["one", "cluster"])
async def state(request: pytest.FixtureRequest) -> AsyncIterator[RedisState]:
    url = request.getfixturevalue("redis_url" if request.param == "one" else "cluster")
    opened = await open_state(getattr(url, "url", url), Path(), node="a")
    yield opened
    await opened.close()


async def put_right(state: RedisState, monkeypatch: pytest.MonkeyPatch, age: float = -1.0) -> None:
    """Let the sweep examine all reservations that are older than `age`."""
    monkeypatch.setattr(quotas, "AGE", age)
    monkeypatch.setattr(quotas, "EVERY", 0.0)
    await state.quotas.put_right()


async def test_without_a_quota_nothing_is_reserved(redis_process: RedisProcess, redis_url: str) -> None:
    state = await open_state(redis_url, Path(), node="a")
    upload = replace(UPLOAD, owner="ann")
    await state.insert(upload)
    async with state.hold(ID, wait=0, on_rival=ignore) as lease:
        await state.save(replace(upload, epoch=lease.epoch, status=Status.TERMINATED))
    await state.forget(ID)
    assert redis_process.command("KEYS", "{onward:owner*") == []
    await state.close()


async def test_what_a_crash_left_reserved_without_a_record_is_given_back(
    state: RedisState, monkeypatch: pytest.MonkeyPatch
) -> None:
    await state.quotas.reserve(made(1, 60, BOTH))  # the server crashed before it inserted this one
    await state.quotas.reserve(made(2, 40, BOTH))
    await put_right(state, monkeypatch, age=60.0)
    assert await state.quotas.usage("ann") == Usage(100, 2)  # too young: its insert may be on its way
    await put_right(state, monkeypatch)
    assert await state.quotas.usage("ann") == Usage(0, 0)
    assert [await insert(state, made(number, 10, BOTH)) for number in (3, 4, 5)] == [True, True, False]


async def test_an_end_that_was_not_given_back_is_given_back_by_the_sweep(
    state: RedisState, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await insert(state, made(1, 100, BOTH))
    await put_right(state, monkeypatch)
    with monkeypatch.context() as crashing:

        async def crash(*_: Any) -> None:
            """Give nothing back."""

        crashing.setattr(RedisQuotas, "give_back", crash)
        async with state.hold(made(1).id, wait=0, on_rival=ignore) as lease:
            await state.save(replace(made(1, 100, BOTH), epoch=lease.epoch, status=Status.FAILED))
    assert not await insert(state, made(2, 1))
    await put_right(state, monkeypatch)
    assert await state.quotas.usage("ann") == Usage(0, 0)


async def test_an_insert_that_comes_after_its_reservation_was_given_back_is_refused(
    state: RedisState, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, go_on, run = asyncio.Event(), asyncio.Event(), state._commands.run

    async def suspended(text: str, keys: Any, *arguments: Any) -> Any:
        if text == scripts.INSERT and made(1).id in arguments:
            arrived.set()
            await go_on.wait()
        return await run(text, keys, *arguments)

    monkeypatch.setattr(state._commands, "run", suspended)
    late = asyncio.create_task(insert(state, made(1, 100)))
    await arrived.wait()
    await put_right(state, monkeypatch)
    assert await insert(state, made(2, 100))
    go_on.set()
    with pytest.raises(Unreachable):
        await late
    assert await state.quotas.usage("ann") == Usage(100, 1)
    assert not await state._client.exists(keys_of(made(1).id).record)


async def test_bytes_that_a_killed_server_had_claimed_are_given_back_once_its_lease_has_ended(
    state: RedisState, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = made(1, None)
    assert await insert(state, grown)
    async with state.hold(grown.id, wait=0, on_rival=ignore) as lease:
        await state.quotas.claim(grown, 80, least=80)
        await state.save(replace(grown, epoch=lease.epoch, offset=30))
        await put_right(state, monkeypatch)
        assert await state.quotas.usage("ann") == Usage(80, 1)  # a request may be storing them
    await put_right(state, monkeypatch)
    assert await state.quotas.usage("ann") == Usage(30, 1)


async def test_a_server_that_was_suspended_takes_nothing_from_the_claim_of_another(redis_url: str) -> None:
    one, two = [await open_state(redis_url, Path(), node=node) for node in "ab"]
    grown = made(1, None)
    assert await insert(one, grown)
    await one.quotas.claim(grown, 20, least=20)
    await two.quotas.claim(grown, 90, least=90)  # its lease has ended, and another server has the next one
    await one.quotas.settle(grown)
    assert await one.quotas.usage("ann") == Usage(90, 1)
    await two.quotas.settle(grown)
    assert await one.quotas.usage("ann") == Usage(0, 1)
    await one.close()
    await two.close()


async def test_a_full_redis_gives_the_reservation_back(state: RedisState, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise Full

    with monkeypatch.context() as filled:
        filled.setattr(state, "_run", full)
        with pytest.raises(Full):
            await insert(state, made(1, 100))
    assert await insert(state, made(2, 100))


async def test_a_creation_that_is_cancelled_reserves_nothing(state: RedisState) -> None:
    assert await insert(state, made(9, 10))
    for number in range(5):
        creating = asyncio.create_task(state.quotas.reserve(made(number, 90)))
        await asyncio.sleep(0)
        creating.cancel()
        await asyncio.gather(creating, return_exceptions=True)
    assert await insert(state, made(8, 90))


async def test_lost_reservations_are_counted_again(state: RedisState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onward.storage.state.redis.listing.PAGE", 4)
    link = Allowance(quota=100, token="link", max_uploads=9)
    for number in range(9):
        assert await insert(state, made(number, 10, link))
    client: Any = state._client
    async for key in client.scan_iter("{onward:owner*"):
        await client.delete(key)
    assert not await insert(state, made(20, 0, link))
    assert not await insert(state, made(21, 11))
    assert await state.quotas.usage("ann") == Usage(90, 9)
    async with state.hold(made(3).id, wait=0, on_rival=ignore) as lease:
        await state.save(replace(made(3, 10, link), epoch=lease.epoch, status=Status.EXPIRED))
    assert await state.quotas.usage("ann") == Usage(80, 8)


async def test_a_redis_that_came_back_empty_still_knows_what_owners_have(
    redis_process: RedisProcess, redis_url: str, tmp_path: Path
) -> None:
    storage = await open_storage(state=redis_url, blobs="file:", data=tmp_path)
    for number in range(9):
        await storage.state.insert(made(number, 10))
    redis_process.flush()
    allowed = await asyncio.gather(*(insert(storage.state, made(number, 10, QUOTA)) for number in range(20, 40)))
    assert sorted(allowed) == [*[False] * 19, True]
    assert (await storage.state.quotas.usage("ann")).bytes == 100
    await storage.close()


async def test_an_owner_that_has_nothing_left_leaves_nothing(redis_process: RedisProcess, redis_url: str) -> None:
    state = await open_state(redis_url, Path(), node="a")
    for number in range(3):
        assert await insert(state, made(number, 10, Allowance(quota=100, token="link", max_uploads=3)))
    for number in range(3):
        await state.forget(UploadId(made(number).id))
    left = redis_process.command("KEYS", "{onward:owner*")
    assert [key for key in left if not key.endswith(b":counted")] == []
    await state.close()


async def _cut_short(state: RecoveringState, upload: Upload, **changes: Any) -> None:
    """Write the copy of a save whose server is killed before the record."""
    await state._backups.keep(replace(upload, version=upload.version + 1, **changes), durable=True)


@pytest.fixture
async def recovering(redis_url: str, tmp_path: Path) -> AsyncIterator[RecoveringState]:
    storage = await open_storage(state=redis_url, blobs="file:", data=tmp_path / "data")
    assert isinstance(storage.state, RecoveringState)
    yield storage.state
    await storage.close()


async def test_a_record_that_is_adopted_from_its_copy_has_reserved_what_it_says(
    recovering: RecoveringState, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = cast("RedisState", recovering._state)
    growing, ending = (replace(made(number, None, BOTH), offset=10) for number in (1, 2))
    for upload in (growing, ending):
        await recovering.insert(upload)
        await state.quotas.claim(upload, 40, least=40)
        await state.quotas.settle(upload)  # a body has ended, and nothing is unsure any more
    await put_right(state, monkeypatch)
    assert await state.quotas.usage("ann") == Usage(20, 2)
    await _cut_short(recovering, growing, offset=30)
    await _cut_short(recovering, ending, status=Status.TERMINATED)
    for upload in (growing, ending):
        async with recovering.hold(upload.id, wait=0, on_rival=ignore):
            assert (await state.quotas.usage("ann")).bytes >= 30
    await put_right(state, monkeypatch)
    assert await state.quotas.usage("ann") == Usage(30, 1)


async def test_a_reservation_is_held_against_the_copy_of_a_record_that_is_newer(
    recovering: RecoveringState, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = cast("RedisState", recovering._state)
    growing, inserted, held = (replace(made(number, None), offset=10) for number in (1, 2, 3))
    for upload in (growing, held):
        await recovering.insert(upload)
        await state.quotas.claim(upload, 40, least=40)
        await _cut_short(recovering, upload, offset=30)
    await state.quotas.reserve(inserted)  # the server was killed between the copy and the record
    await recovering._backups.begin(inserted, durable=True)
    async with state.hold(held.id, wait=0, on_rival=ignore):
        await put_right(state, monkeypatch)
        assert await state.quotas.usage("ann") == Usage(30 + 10 + 40, 3)
    await put_right(state, monkeypatch)
    assert await state.quotas.usage("ann") == Usage(30 + 10 + 30, 3)
    assert [(await state.load(upload.id)).offset for upload in (growing, inserted, held)] == [30, 10, 30]
