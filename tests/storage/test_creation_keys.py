"""What the keys of creations promise over every state: one key stands for one upload, and no id is inserted twice."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from redis_process import RedisProcess
from test_state_contract import UPLOAD, url_of

from onward.protocol.creation_keys import KEPT
from onward.protocol.model import CreationKey, Upload, UploadId
from onward.storage import open_storage
from onward.storage.base import Binding, Stale, State, Storage

KEYED = replace(UPLOAD, creation_key=CreationKey(hash="k" * 32, request="r"))


def fresh() -> Binding:
    return Binding(id=UploadId(secrets.token_hex(16)), request="r" * 32)


@pytest.fixture(params=["memory", "sqlite", "redis", "cluster"])
async def state(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[State]:
    storage = await open_storage(state=url_of(request.param, request), blobs="memory:", data=tmp_path)
    yield storage.state
    await storage.close()


async def test_a_key_stands_for_the_first_upload_that_it_is_bound_to(state: State) -> None:
    keys, first, second = state.creation_keys, fresh(), fresh()
    assert await keys.bind("key", first, now=100.0, kept=60.0) == first
    assert await keys.bind("key", second, now=101.0, kept=60.0) == first
    assert await keys.bind("key", first, now=101.0, kept=60.0) == first
    assert await keys.bind("other", second, now=101.0, kept=60.0) == second


async def test_one_of_many_that_bind_a_key_at_once_wins(state: State) -> None:
    bindings = [fresh() for _ in range(50)]
    bound = await asyncio.gather(*(state.creation_keys.bind("key", each, now=100.0, kept=60.0) for each in bindings))
    assert len({each.id for each in bound}) == 1
    assert bound[0] in bindings


async def test_a_key_is_bound_again_only_in_the_place_of_what_it_stood_for(state: State) -> None:
    keys, first, second, third = state.creation_keys, fresh(), fresh(), fresh()
    await keys.bind("key", first, now=100.0, kept=60.0)
    assert await keys.bind("key", second, now=101.0, kept=60.0, instead_of=first) == second
    assert await keys.bind("key", second, now=101.0, kept=60.0, instead_of=first) == second
    assert await keys.bind("key", third, now=101.0, kept=60.0, instead_of=first) == second
    assert await keys.bind("another", third, now=101.0, kept=60.0, instead_of=first) == third


async def test_a_key_is_forgotten_only_for_the_upload_that_it_stands_for(state: State) -> None:
    keys, first, second = state.creation_keys, fresh(), fresh()
    await keys.unbind("key", first.id)
    await keys.bind("key", first, now=100.0, kept=60.0)
    await keys.unbind("key", second.id)
    assert await keys.bind("key", second, now=101.0, kept=60.0) == first
    await keys.unbind("key", first.id)
    assert await keys.bind("key", second, now=101.0, kept=60.0) == second


async def test_a_key_ends_when_its_time_is_over(state: State) -> None:
    keys, first, second, third = state.creation_keys, fresh(), fresh(), fresh()
    await keys.bind("key", first, now=100.0, kept=0.05)
    await keys.bind("long", first, now=100.0, kept=60.0)
    await asyncio.sleep(0.06)
    await keys.tidy(100.06)
    assert await keys.bind("key", second, now=100.06, kept=0.05) == second
    await asyncio.sleep(0.06)
    assert await keys.bind("key", third, now=100.12, kept=60.0) == third  # without any tidying
    assert await keys.bind("long", second, now=100.12, kept=60.0) == first


async def test_a_second_record_under_an_id_is_stale_and_changes_nothing(state: State) -> None:
    await state.insert(KEYED)
    with pytest.raises(Stale):
        await state.insert(replace(KEYED, metadata="b Yg=="))
    assert await state.load(KEYED.id) == KEYED
    other = replace(KEYED, id=UploadId("1" * 32))
    await state.insert(other)
    assert await state.load(other.id) == other


async def test_a_late_insert_takes_nothing_back(state: State) -> None:
    await state.insert(KEYED)
    async with state.hold(KEYED.id, wait=1, on_rival=lambda: None) as lease:
        saved = await state.save(replace(KEYED, offset=5, epoch=lease.epoch))
    with pytest.raises(Stale):
        await state.insert(replace(KEYED, updated=3.5))
    assert await state.load(KEYED.id) == saved


async def test_keys_survive_a_restart(tmp_path: Path, redis_url: str) -> None:
    for url in ("sqlite:", redis_url):
        first = fresh()
        for binding in (first, fresh()):
            storage = await open_storage(state=url, blobs="file:", data=tmp_path / url[:5])
            assert await storage.state.creation_keys.bind("key", binding, now=100.0, kept=60.0) == first
            await storage.close()


async def test_sqlite_removes_the_keys_whose_time_is_over(tmp_path: Path) -> None:
    storage = await open_storage(state="sqlite:", blobs="memory:", data=tmp_path)
    keys = storage.state.creation_keys
    for number in range(10):
        await keys.bind(f"key{number}", fresh(), now=100.0 + number, kept=60.0)
    await keys.tidy(165.0)
    do = keys._do  # type: ignore[attr-defined]
    assert await do(lambda db: db.execute("SELECT count(*) FROM creation_keys").fetchone()) == (4,)
    await storage.close()


@pytest.fixture
async def two(redis_url: str, tmp_path: Path) -> AsyncIterator[tuple[Storage, Storage]]:
    both = [await open_storage(state=redis_url, blobs="file:", data=tmp_path / "data") for _ in range(2)]
    yield both[0], both[1]
    for storage in both:
        await storage.close()


async def test_an_emptied_redis_gets_its_keys_back_from_the_records(
    two: tuple[Storage, Storage], redis_process: RedisProcess
) -> None:
    now = await two[0].state.time() or 0.0
    young = replace(KEYED, created=now - 10.0)
    old = replace(KEYED, id=UploadId("1" * 32), created=now - KEPT, creation_key=CreationKey(hash="old", request="r"))
    for upload in (young, old):
        await two[0].state.insert(upload)
    redis_process.flush()
    keys, mine = two[1].state.creation_keys, fresh()
    assert await keys.bind("k" * 32, mine, now=now, kept=KEPT) == Binding(id=young.id, request="r")
    assert await keys.bind("old", mine, now=now, kept=KEPT) == mine


async def test_of_two_nodes_that_insert_one_id_both_find_one_record(two: tuple[Storage, Storage]) -> None:
    for number in range(20):
        id_ = UploadId(f"{number:032x}")
        rivals = [replace(KEYED, id=id_, updated=float(node)) for node in range(2)]

        async def insert(node: int, rivals: tuple[Upload, ...] = tuple(rivals)) -> bool:
            try:
                await two[node].state.insert(rivals[node])
            except Stale:
                return False
            return True

        won = await asyncio.gather(insert(0), insert(1))
        found = [await storage.state.load(id_) for storage in two]
        assert found[0] == found[1]
        assert won.count(True) == 1
        assert (await two[0].backups.kept(id_)) is not None


async def test_an_insert_that_comes_second_drops_no_copy(two: tuple[Storage, Storage]) -> None:
    await two[0].state.insert(KEYED)
    await two[0].backups.drop(KEYED.id)  # as if the copy of the first came a moment later than that of the second
    with pytest.raises(Stale):
        await two[1].state.insert(replace(KEYED, updated=3.5))
    assert (await two[1].backups.kept(KEYED.id)) is not None
