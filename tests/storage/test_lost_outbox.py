"""An outbox that was lost with its Redis: the latest event of each adopted upload is queued again, with the same id."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from redis_process import RedisProcess
from test_state_contract import ID, UPLOAD, ignore

from onward.protocol.events import EventType, OutgoingEvent, Subscriptions
from onward.protocol.model import Concat, Role, Status, Upload
from onward.storage import open_storage
from onward.storage.base import Stale, Storage, Unreachable

A, B = "https://a.example/hook", "https://b.example/hook"
PART = Concat(role=Role.PARTIAL, told="partial")
BOTH = Subscriptions({A: frozenset(EventType), B: frozenset({EventType.COMPLETED})})


@pytest.fixture
async def storage(redis_url: str, tmp_path: Path) -> AsyncIterator[Storage]:
    storage = await open_storage(state=redis_url, blobs="file:", data=tmp_path / "data", subscriptions=BOTH)
    yield storage
    await storage.close()


async def insert(storage: Storage, concat: Concat | None = None) -> Upload:
    upload = replace(UPLOAD, due=1.0, concat=concat)
    await storage.state.insert(upload, events=BOTH.created(upload))
    return upload


async def save(storage: Storage, status: Status) -> None:
    async with storage.state.hold(ID, wait=1, on_rival=ignore) as lease:
        upload = replace(await storage.state.load(ID), epoch=lease.epoch, status=status)
        ended = BOTH.ended(replace(upload, version=upload.version + 1)) if status.final else ()
        await storage.state.save(upload, events=ended)


async def fail(*_: Any, **__: Any) -> Upload:
    """Be a save to the state that a crash has prevented."""
    raise Unreachable("crashed")


async def waiting(storage: Storage) -> list[tuple[str, str, int]]:
    """Give the target, the type and the `seq` of all events that wait."""
    events = [event async for event in storage.state.outbox.waiting()]
    return sorted((event.target, json.loads(event.body)["type"], event.seq) for event in events)


async def deliver_all(storage: Storage) -> list[OutgoingEvent]:
    """Take all events out of the outbox."""
    taken = [event async for event in storage.state.outbox.waiting()]
    for event in taken:
        await storage.state.outbox.delivered(event, 5.0)
    return taken


async def test_the_latest_event_is_queued_again_with_its_id(storage: Storage, redis_process: RedisProcess) -> None:
    await insert(storage)
    await save(storage, Status.UPLOADING)
    await save(storage, Status.COMPLETED)
    before = {(event.target, event.id): event async for event in storage.state.outbox.waiting()}
    redis_process.flush()
    assert [id_ async for id_ in storage.state.due(2.0)] == [ID]
    after = {(event.target, event.id): event async for event in storage.state.outbox.waiting()}
    assert await waiting(storage) == [(A, "upload.completed", 3), (B, "upload.completed", 3)]
    assert all(before[key] == event for key, event in after.items())


async def test_an_unfinished_upload_is_told_as_created_again(storage: Storage, redis_process: RedisProcess) -> None:
    await insert(storage)
    await save(storage, Status.UPLOADING)
    (first,) = await deliver_all(storage)
    redis_process.flush()
    await storage.state.load(ID)
    assert await waiting(storage) == [(A, "upload.created", 2)]
    (again,) = await deliver_all(storage)
    assert again.id == first.id


async def test_nothing_is_queued_twice_by_an_adoption_that_is_repeated(
    storage: Storage, redis_process: RedisProcess
) -> None:
    await insert(storage)
    redis_process.flush()
    for _ in range(3):
        await storage.state._adopt(ID)  # type: ignore[attr-defined]
    assert await waiting(storage) == [(A, "upload.created", 1)]
    await deliver_all(storage)
    await storage.state._adopt(ID)  # type: ignore[attr-defined]
    assert await waiting(storage) == []


async def test_an_end_whose_save_was_lost_is_told_when_it_is_adopted(
    storage: Storage, redis_process: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash after the copy was written and before the record was: the copy is what happened."""
    await insert(storage)
    await deliver_all(storage)
    with monkeypatch.context() as patched:
        patched.setattr(storage.state._state, "save", fail)  # type: ignore[attr-defined]
        with pytest.raises(Unreachable):
            await save(storage, Status.COMPLETED)
    assert await waiting(storage) == []
    async with storage.state.hold(ID, wait=1, on_rival=ignore) as lease:
        assert lease.record is not None
        assert lease.record.status is Status.COMPLETED
    assert await waiting(storage) == [(A, "upload.completed", 2), (B, "upload.completed", 2)]


@pytest.mark.parametrize("status", [Status.UPLOADING, Status.COMPLETED])
async def test_an_older_record_that_has_not_ended_is_not_told_as_created_again(
    status: Status, storage: Storage, redis_process: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await insert(storage, concat=PART)
    await deliver_all(storage)
    with monkeypatch.context() as patched:
        patched.setattr(storage.state._state, "save", fail)  # type: ignore[attr-defined]
        with pytest.raises(Unreachable):
            await save(storage, status)
    async with storage.state.hold(ID, wait=1, on_rival=ignore):
        pass
    assert await waiting(storage) == []


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.TERMINATED, Status.EXPIRED])
async def test_an_end_is_not_told_again_because_of_a_later_save_that_was_lost(
    status: Status, storage: Storage, redis_process: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records of uploads that have ended are saved again, for example when the sweep has removed their bytes."""
    await insert(storage)
    await save(storage, status)
    assert (A, f"upload.{status}", 2) in await waiting(storage)
    await deliver_all(storage)
    with monkeypatch.context() as patched:
        patched.setattr(storage.state._state, "save", fail)  # type: ignore[attr-defined]
        with pytest.raises(Unreachable):
            await save(storage, status)
    async with storage.state.hold(ID, wait=1, on_rival=ignore) as lease:
        assert lease.record is not None
        assert lease.record.version == 3
    assert await waiting(storage) == []


async def test_another_end_whose_save_was_lost_is_told(
    storage: Storage, redis_process: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await insert(storage)
    await save(storage, Status.COMPLETED)
    await deliver_all(storage)
    with monkeypatch.context() as patched:
        patched.setattr(storage.state._state, "save", fail)  # type: ignore[attr-defined]
        with pytest.raises(Unreachable):
            await save(storage, Status.TERMINATED)
    async with storage.state.hold(ID, wait=1, on_rival=ignore):
        pass
    assert await waiting(storage) == [(A, "upload.terminated", 3)]


async def test_an_end_that_meets_an_emptied_redis_is_told_once(storage: Storage, redis_process: RedisProcess) -> None:
    await insert(storage)
    async with storage.state.hold(ID, wait=1, on_rival=ignore) as lease:
        redis_process.flush()
        upload = replace(UPLOAD, epoch=lease.epoch, status=Status.TERMINATED)
        with pytest.raises(Stale):
            await storage.state.save(upload, events=BOTH.ended(replace(upload, version=2)))
    assert (await storage.state.load(ID)).status is Status.TERMINATED
    assert await waiting(storage) == [(A, "upload.terminated", 2)]
