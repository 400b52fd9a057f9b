"""A state that was emptied: its records are adopted from the copies beside the bytes, and no old lease counts."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from msgspec.structs import replace
from redis_process import RedisProcess
from test_state_contract import UPLOAD

from onward.protocol.model import Limits, Status, UploadId
from onward.server.uploads.records import UploadRecords
from onward.storage import open_storage
from onward.storage.base import ANYONE, Missing, Stale, Storage, Unreachable
from onward.storage.state.redis import bus
from onward.storage.state.redis.keys import keys_of
from onward.storage.state.redis.state import RedisState

ID = UPLOAD.id


def ignore() -> None:
    """Keep the lease in spite of a rival."""


@asynccontextmanager
async def opened(url: str, data: Path) -> AsyncIterator[Storage]:
    storage = await open_storage(state=url, blobs="file:", data=data)
    try:
        yield storage
    finally:
        await storage.close()


@pytest.fixture
async def storage(redis_url: str, tmp_path: Path) -> AsyncIterator[Storage]:
    async with opened(redis_url, tmp_path / "data") as storage:
        yield storage


@pytest.fixture
async def other(storage: Storage, redis_url: str, tmp_path: Path) -> AsyncIterator[Storage]:
    async with opened(redis_url, tmp_path / "data") as other:
        yield other


async def test_an_emptied_state_returns_what_was_recorded(storage: Storage, redis_process: RedisProcess) -> None:
    await storage.state.insert(UPLOAD)
    async with storage.state.hold(ID, wait=0, on_rival=ignore) as lease:
        saved = await storage.state.save(replace(UPLOAD, epoch=lease.epoch, offset=5))
    redis_process.flush()
    found = await storage.state.load(ID)
    assert (found.offset, found.version) == (5, saved.version)
    assert found.epoch > lease.epoch
    redis_process.flush()
    async with storage.state.hold(ID, wait=0, on_rival=ignore) as later:
        assert later.epoch > found.epoch
        assert (await storage.state.save(replace(found, epoch=later.epoch, offset=7))).offset == 7


@pytest.mark.parametrize("often", [1, 9])
async def test_a_record_that_is_lost_again_and_again_is_not_unknown(
    storage: Storage, redis_process: RedisProcess, often: int
) -> None:
    """Its client would take a 404 for the end of the upload, and begin another one."""
    await storage.state.insert(UPLOAD)
    redis_process.flush()
    adopt, losses = RedisState.adopt, iter(range(often))

    async def adopt_and_lose(state: RedisState, *words: Any, **more: Any) -> None:
        await adopt(state, *words, **more)
        if next(losses, None) is not None:
            redis_process.flush()

    with patch.object(RedisState, "adopt", adopt_and_lose):
        if often == 1:
            assert (await storage.state.load(ID)).id == ID
        else:
            with pytest.raises(Unreachable, match="lost again"):
                await storage.state.load(ID)


async def test_a_holder_from_before_the_loss_cannot_save(
    storage: Storage, other: Storage, redis_process: RedisProcess
) -> None:
    await storage.state.insert(UPLOAD)
    async with storage.state.hold(ID, wait=0, on_rival=ignore) as before:
        redis_process.flush()
        async with other.state.hold(ID, wait=1, on_rival=ignore) as after:
            found = await other.state.load(ID)
            saved = await other.state.save(replace(found, epoch=after.epoch, offset=6))
            with pytest.raises(Stale):
                await storage.state.save(replace(UPLOAD, epoch=before.epoch, offset=9))
        redis_process.flush()
        assert (await storage.state.load(ID)).offset == saved.offset


async def test_a_save_to_an_emptied_state_is_refused_but_kept_in_the_copy(
    storage: Storage, redis_process: RedisProcess
) -> None:
    await storage.state.insert(UPLOAD)
    async with storage.state.hold(ID, wait=0, on_rival=ignore) as lease:
        redis_process.flush()
        with pytest.raises(Stale):
            await storage.state.save(replace(UPLOAD, epoch=lease.epoch, offset=5))
    assert (await storage.state.load(ID)).offset == 5


async def test_what_is_due_is_found_again(storage: Storage, redis_process: RedisProcess) -> None:
    await storage.state.insert(replace(UPLOAD, due=1.0))
    redis_process.flush()
    assert [id_ async for id_ in storage.state.due(2.0)] == [ID]


async def test_a_forgotten_upload_stays_forgotten(storage: Storage, redis_process: RedisProcess) -> None:
    await storage.state.insert(UPLOAD)
    await storage.state.forget(ID)
    redis_process.flush()
    with pytest.raises(Missing):
        await storage.state.load(ID)


async def test_a_state_of_another_data_folder_is_refused(redis_url: str, tmp_path: Path) -> None:
    async with opened(redis_url, tmp_path / "one") as one:
        await one.state.insert(UPLOAD)
        with pytest.raises(Unreachable, match="another data folder"):
            async with opened(redis_url, tmp_path / "two"):
                pass
        async with opened(redis_url, tmp_path / "one") as again:
            assert (await again.state.load(ID)).id == ID


@pytest.mark.parametrize("damage", [b"\0" * 60, b"~"], ids=["torn", "flipped"])
async def test_a_damaged_copy_leaves_the_one_before(storage: Storage, damage: bytes, tmp_path: Path) -> None:
    backups = storage.backups
    await backups.begin(UPLOAD, durable=True)
    await backups.keep(replace(UPLOAD, version=2, offset=5), durable=True)
    path = tmp_path / "data" / "records" / ID
    newest = path.read_bytes().index(b'"offset":5')
    with path.open("r+b") as file:
        file.seek(newest)
        file.write(damage)
    assert await backups.kept(ID) == UPLOAD
    await backups.keep(replace(UPLOAD, version=2, offset=6), durable=True)
    assert await backups.kept(ID) == replace(UPLOAD, version=2, offset=6)


async def test_an_earlier_lease_cannot_overwrite_the_copy_of_a_later_one(storage: Storage) -> None:
    backups = storage.backups
    await backups.begin(replace(UPLOAD, epoch=7), durable=True)
    with pytest.raises(Stale):
        await backups.keep(replace(UPLOAD, epoch=6, version=9), durable=True)
    await backups.renew(replace(UPLOAD, epoch=7), lambda: True)
    assert await backups.kept(ID) == replace(UPLOAD, epoch=7)
    assert [id_ async for id_ in backups.ids()] == [ID]


async def test_a_suspended_node_writes_to_a_file_without_a_name_once_it_is_fenced(
    redis_url: str, tmp_path: Path
) -> None:
    async with opened(redis_url, tmp_path / "data") as one:
        place = await one.blobs.create(ID)
        path = tmp_path / "data" / place
        async with opened(redis_url, tmp_path / "data") as other:
            async with other.blobs.open(place, 0) as asleep:
                asleep.write(b"0123456789", 0)
                assert not await one.nodes.is_dead(other.nodes.name)
                assert await one.blobs.fence(place, 5, lambda: True) == place
                asleep.write(b"~~~~~~~~~~", 0)
            assert path.read_bytes() == b"01234"
            sealed = await one.blobs.seal(place, 5)
            before = os.stat(tmp_path / "data" / sealed).st_ino
            await one.blobs.fence(place, 5, lambda: True)
            assert os.stat(tmp_path / "data" / sealed).st_ino != before
            node = other.nodes.name
        assert await one.nodes.is_dead(node)


@pytest.mark.parametrize("dead", [False, True])
async def test_bytes_are_fenced_unless_the_former_holder_is_dead(
    dead: bool,
    storage: Storage,
    other: Storage,
    redis_process: RedisProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def is_dead(name: str) -> bool:
        assert name == other.nodes.name
        return dead

    monkeypatch.setattr(storage.nodes, "is_dead", is_dead)
    place = await storage.blobs.create(ID)
    path = tmp_path / "data" / place
    path.write_bytes(b"")
    await other.state.insert(replace(UPLOAD, place=place))
    before = os.stat(path).st_ino
    async with other.state.hold(ID, wait=0, on_rival=ignore):
        redis_process.delete(keys_of(ID).lease)  # as if its time were over
        async with UploadRecords(storage, Limits(), lease_wait=1, boot="").leased(ID, ignore):
            assert (os.stat(path).st_ino == before) is dead


async def test_a_lease_names_the_node_that_left_it_until_that_is_fenced(
    redis_url: str, tmp_path: Path, redis_process: RedisProcess
) -> None:
    async with opened(redis_url, tmp_path / "data") as one, opened(redis_url, tmp_path / "data") as other:
        await one.state.insert(UPLOAD)
        leaving = other.state.hold(ID, wait=0, on_rival=ignore)
        await leaving.__aenter__()
        redis_process.delete(keys_of(ID).lease)  # as if its time were over
        for _ in range(2):
            async with one.state.hold(ID, wait=0, on_rival=ignore) as lease:
                assert lease.left_by == other.nodes.name
        async with one.state.hold(ID, wait=0, on_rival=ignore) as lease:
            await one.state.fenced(lease, UPLOAD)
        async with one.state.hold(ID, wait=0, on_rival=ignore) as lease:
            assert lease.left_by is None
            assert (await one.state.load(ID)).status is Status.PENDING
        await leaving.__aexit__(None, None, None)
        await asyncio.sleep(0)


async def test_a_node_that_releases_late_need_not_be_fenced(
    redis_url: str, tmp_path: Path, redis_process: RedisProcess
) -> None:
    async with opened(redis_url, tmp_path / "data") as one, opened(redis_url, tmp_path / "data") as other:
        await one.state.insert(UPLOAD)
        async with other.state.hold(ID, wait=0, on_rival=ignore):
            redis_process.delete(keys_of(ID).lease)
        async with one.state.hold(ID, wait=0, on_rival=ignore) as lease:
            assert lease.left_by is None


async def test_a_record_that_is_older_than_its_copy_is_replaced(storage: Storage, redis_process: RedisProcess) -> None:
    await storage.state.insert(UPLOAD)
    key = keys_of(ID).record
    async with storage.state.hold(ID, wait=0, on_rival=ignore) as lease:
        saved = await storage.state.save(replace(UPLOAD, epoch=lease.epoch, offset=5))
        before = redis_process.command("DUMP", key)
        saved = await storage.state.save(replace(saved, offset=7))
        redis_process.command("RESTORE", key, 0, before, "REPLACE")
        assert (await storage.state.load(ID)).offset == 7
        with pytest.raises(Stale):
            await storage.state.save(replace(saved, offset=9))
    async with storage.state.hold(ID, wait=0, on_rival=ignore) as after:
        assert after.epoch > lease.epoch
        found = await storage.state.load(ID)
        assert found.offset >= 7
        assert found.version > saved.version - 1


async def test_a_record_that_is_older_than_its_copy_is_not_at_rest(
    storage: Storage, other: Storage, redis_process: RedisProcess
) -> None:
    await storage.state.insert(UPLOAD)
    second = replace(UPLOAD, id=UploadId("2" * 32))
    await storage.state.insert(second)
    key, saved = keys_of(ID).record, UPLOAD
    for offset in (3, 5):
        before = redis_process.command("DUMP", key)
        async with storage.state.hold(ID, wait=0, on_rival=ignore) as lease:
            saved = await storage.state.save(replace(saved, epoch=lease.epoch, offset=offset))
        for node in (storage, other):
            assert await node.state.at_rest([ID, second.id]) == [saved, second]
    redis_process.command("RESTORE", key, 0, before, "REPLACE")
    for node in (storage, other):
        assert await node.state.at_rest([second.id, ID]) == [second, None]


async def test_the_holder_of_a_forgotten_lease_is_fenced(
    storage: Storage, other: Storage, redis_process: RedisProcess
) -> None:
    await storage.state.insert(UPLOAD)
    async with storage.state.hold(ID, wait=0, on_rival=ignore) as before:
        await storage.state.save(replace(UPLOAD, epoch=before.epoch, offset=5))
        redis_process.flush()
        async with other.state.hold(ID, wait=0, on_rival=ignore) as after:
            assert after.left_by == ANYONE
            await other.state.fenced(after, await other.state.load(ID))
    async with storage.state.hold(ID, wait=0, on_rival=ignore) as later:
        assert later.left_by is None


async def test_all_nodes_that_left_a_lease_are_fenced(
    storage: Storage, other: Storage, redis_url: str, tmp_path: Path, redis_process: RedisProcess
) -> None:
    await storage.state.insert(UPLOAD)
    async with storage.state.hold(ID, wait=0, on_rival=ignore):
        redis_process.delete(keys_of(ID).lease)  # as if its time were over
        async with other.state.hold(ID, wait=0, on_rival=ignore) as second:
            assert second.left_by == storage.nodes.name
            redis_process.delete(keys_of(ID).lease)
            async with (
                opened(redis_url, tmp_path / "data") as one,
                one.state.hold(ID, wait=0, on_rival=ignore) as third,
            ):
                assert third.left_by == ANYONE


async def test_a_watcher_gets_a_lost_record_from_its_copy(storage: Storage, redis_process: RedisProcess) -> None:
    await storage.state.insert(UPLOAD)
    async with storage.state.subscribe(ID) as messages:
        async with storage.state.hold(ID, wait=0, on_rival=ignore) as lease:
            saved = await storage.state.save(replace(UPLOAD, epoch=lease.epoch, status=Status.TERMINATED))
        redis_process.flush()
        async with asyncio.timeout(bus.LOOK + 5):
            while (await anext(messages)).seq != saved.version:
                pass


async def test_two_copies_of_one_version_are_never_kept(storage: Storage) -> None:
    backups = storage.backups
    await backups.begin(UPLOAD, durable=True)
    newer = replace(UPLOAD, version=2, offset=5)
    await backups.keep(newer, durable=True)
    await backups.keep(newer, durable=True)
    with pytest.raises(Stale):
        await backups.keep(replace(UPLOAD, version=2, offset=4), durable=True)
    assert await backups.kept(ID) == newer


async def test_a_terminated_upload_does_not_come_back_completed(storage: Storage, redis_process: RedisProcess) -> None:
    await storage.state.insert(replace(UPLOAD, status=Status.COMPLETED))
    before = redis_process.command("DUMP", keys_of(ID).record)
    async with storage.state.hold(ID, wait=0, on_rival=ignore) as lease:
        await storage.state.save(replace(UPLOAD, epoch=lease.epoch, status=Status.TERMINATED))
    redis_process.command("RESTORE", keys_of(ID).record, 0, before, "REPLACE")
    assert (await storage.state.load(ID)).status is Status.TERMINATED


async def test_a_server_starts_despite_odd_files_beside_the_copies(
    storage: Storage, redis_url: str, redis_process: RedisProcess, tmp_path: Path
) -> None:
    await storage.state.insert(UPLOAD)
    records = tmp_path / "data" / "records"
    (records / "README").write_text("not ours")
    (records / ("e" * 32)).mkdir()
    os.mkfifo(records / ("f" * 32))
    (records / ("d" * 32)).symlink_to("/etc/passwd")
    (records / ("c" * 32)).write_bytes(b"garbage")
    redis_process.flush()
    async with opened(redis_url, tmp_path / "data") as again:
        assert (await again.state.load(ID)).id == ID


async def test_an_empty_state_is_refused_if_there_are_bytes_without_copies(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / ID).write_bytes(b"of an upload that another state knows")
    with pytest.raises(Unreachable, match="the state is new"):
        async with opened(redis_url, tmp_path):
            pass


async def test_a_data_folder_without_its_name_is_refused(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(Unreachable, match="is damaged"):
        async with opened(redis_url, tmp_path):
            pass


async def test_a_joined_file_is_fenced_empty_or_whole(redis_url: str, tmp_path: Path) -> None:
    async with opened(redis_url, tmp_path) as storage:
        place = await storage.blobs.create(ID)
        await storage.blobs.fence(place, 0, lambda: True)
        async with storage.blobs.open(place, 0) as writer:
            writer.write(b"half of it", 0)
        await storage.blobs.fence(place, 0, lambda: True)
        assert (tmp_path / place).read_bytes() == b""
        async with storage.blobs.open(place, 0) as writer:
            writer.write(b"all of it", 0)
        sealed = await storage.blobs.seal(place, 9)
        await storage.blobs.fence(place, 0, lambda: True)
        assert (tmp_path / sealed).read_bytes() == b"all of it"
