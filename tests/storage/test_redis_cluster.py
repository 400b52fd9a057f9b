"""A cluster of three primaries: uploads on all of them, two nodes, and primaries that lose what they had."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from redis_kinds import Cluster
from redis_process import RedisProcess
from test_state_contract import UPLOAD, ignore

from onward.protocol.model import Status, Upload, UploadId
from onward.protocol.progress import progress
from onward.protocol.promises import sum_of
from onward.storage import open_storage
from onward.storage.base import Held, Storage
from onward.storage.state.redis.keys import BUCKETS, bucket_of, keys_of
from onward.storage.state.redis.state import RedisState, open_state

IDS = [UploadId(f"{number:032x}") for number in range(60)]


@pytest.fixture
async def nodes(cluster: Cluster) -> AsyncIterator[tuple[RedisState, RedisState]]:
    one, other = await open_state(cluster.url, Path(), node="a"), await open_state(cluster.url, Path(), node="b")
    yield one, other
    await one.close()
    await other.close()


@pytest.fixture
async def storage(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Storage]:
    opened = await open_storage(state=cluster.url, blobs="file:", data=tmp_path)
    yield opened
    await opened.close()


async def insert_all(storage: Storage) -> dict[UploadId, Upload]:
    uploads = {id_: replace(UPLOAD, id=id_, due=float(number)) for number, id_ in enumerate(IDS)}
    for upload in uploads.values():
        await storage.state.insert(upload)
    return uploads


def test_buckets_are_used_evenly_and_never_change() -> None:
    ids = [UploadId(f"{number:032x}") for number in range(6400)]
    counts = [sum(bucket_of(id_) is bucket for id_ in ids) for bucket in BUCKETS]
    assert (min(counts) > 50, max(counts) < 150, len(BUCKETS)) == (True, True, 64)
    assert keys_of(IDS[0]).record == f"{{onward:16}}:{'0' * 32}:record"


async def test_the_records_are_spread_over_all_primaries(cluster: Cluster, storage: Storage) -> None:
    await insert_all(storage)
    found = [{key for key in keys if key.endswith(":record")} for keys in cluster.all_keys()]
    assert set().union(*found) == {keys_of(id_).record for id_ in IDS}
    assert min(len(records) for records in found) > len(IDS) / 6
    assert await storage.state.promised() == sum_of([UPLOAD] * len(IDS))


async def test_the_sweep_is_given_what_is_due_in_its_order(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    await insert_all(storage)
    assert [id_ async for id_ in storage.state.due(1000)] == IDS
    assert [id_ async for id_ in storage.state.due(20)] == IDS[:21]
    monkeypatch.setattr("onward.storage.state.redis.due.DUE_BATCH", 1)
    assert [id_ async for id_ in storage.state.due(1000)] == IDS


async def test_a_rival_on_another_node_gets_the_lease_of_an_upload_on_any_primary(
    nodes: tuple[RedisState, RedisState],
) -> None:
    one, other = nodes
    for id_ in IDS[:10]:
        await one.insert(replace(UPLOAD, id=id_))
        asked = asyncio.Event()
        async with one.hold(id_, wait=0, on_rival=asked.set):
            with pytest.raises(Held):
                async with other.hold(id_, wait=0, on_rival=ignore):
                    pass
            rival = asyncio.create_task(other.hold(id_, wait=5, on_rival=ignore).__aenter__())
            await asyncio.wait_for(asked.wait(), 2)
        assert (await asyncio.wait_for(rival, 2)).epoch == 2


async def test_events_reach_the_watchers_on_another_node(nodes: tuple[RedisState, RedisState]) -> None:
    one, other = nodes
    for id_ in IDS[:10]:
        await one.insert(replace(UPLOAD, id=id_))
        async with other.subscribe(id_) as messages:
            async with one.hold(id_, wait=0, on_rival=ignore) as lease:
                saved = await one.save(replace(UPLOAD, id=id_, epoch=lease.epoch, offset=5))
            async with asyncio.timeout(2):  # shorter than the silence after which the record is read
                while await anext(messages) != progress(saved):
                    pass


@pytest.mark.parametrize("lost", [(0, 1, 2), (0,), (1,), (2,)])
async def test_what_primaries_have_lost_is_adopted_from_the_backups(
    lost: tuple[int, ...], cluster: Cluster, storage: Storage
) -> None:
    uploads = await insert_all(storage)
    async with storage.state.hold(IDS[0], wait=0, on_rival=ignore) as lease:
        uploads[IDS[0]] = await storage.state.save(replace(uploads[IDS[0]], epoch=lease.epoch, offset=5))
    for number in lost:
        cluster.primaries[number].flush()
    assert [id_ async for id_ in storage.state.due(1000)] == IDS
    assert [id_ async for id_ in storage.state.due(1000)] == IDS
    for id_, upload in uploads.items():
        assert replace(await storage.state.load(id_), epoch=upload.epoch) == upload
    assert await storage.state.promised() == sum_of(uploads.values())
    async with storage.state.hold(IDS[0], wait=0, on_rival=ignore) as lease:
        ended = replace(uploads[IDS[0]], epoch=lease.epoch, status=Status.TERMINATED, due=None)
        await storage.state.save(ended)


async def test_a_redis_with_keys_of_the_first_version_only_counts_as_empty(
    redis_process: RedisProcess, redis_url: str, tmp_path: Path
) -> None:
    before = await open_storage(state=redis_url, blobs="file:", data=tmp_path)
    uploads = await insert_all(before)
    await before.close()
    store = redis_process.command("GET", BUCKETS[0].store)
    redis_process.flush()
    redis_process.command("SET", "{onward}:store", store)
    redis_process.command("ZADD", "{onward}:due", 1, IDS[0])
    redis_process.command("HSET", f"{{onward}}:{IDS[0]}:record", "document", "old", "version", 1, "epoch", 1)
    storage = await open_storage(state=redis_url, blobs="file:", data=tmp_path)
    assert await storage.state.load(IDS[7]) != uploads[IDS[7]]  # adopted, with a new epoch
    assert [id_ async for id_ in storage.state.due(1000)] == IDS
    assert redis_process.command("GET", BUCKETS[63].store) == store
    await storage.close()
