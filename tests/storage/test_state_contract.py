"""What every state promises: records, leases and events, the same over each implementation."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from onward.protocol.model import FINAL, Place, Status, Upload, UploadId
from onward.protocol.progress import progress
from onward.protocol.promises import sum_of
from onward.storage import open_storage
from onward.storage.base import Crowded, Held, Missing, Stale, State, Storage
from onward.storage.recovery import RecoveringState

ID = UploadId("0" * 32)
UPLOAD = Upload(
    id=ID, place=Place("p"), status=Status.PENDING, length=10, offset=0, metadata="a YQ==", promised=b"\x00\xff" * 16,
    created=1.5, updated=2.5, expires=100.0, due=100.0,
)  # fmt: skip


def ignore() -> None:
    """Keep the lease."""


def url_of(kind: str, request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty state of a kind."""
    if kind in ("redis", "adopting"):
        return str(request.getfixturevalue("redis_url"))
    return str(request.getfixturevalue("cluster").url) if kind == "cluster" else f"{kind}:"


@pytest.fixture(params=["memory", "sqlite", "redis", "cluster"])
async def state(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[State]:
    url = url_of(request.param, request)
    storage = await open_storage(state=url, blobs="memory:", data=tmp_path)
    yield storage.state
    await storage.close()


async def test_a_record_is_kept_whole(state: State) -> None:
    await state.insert(UPLOAD)
    assert await state.load(ID) == UPLOAD


async def test_a_shared_state_has_a_time_of_its_own_and_another_has_none(state: State) -> None:
    told = await state.time()
    assert (told is not None) == isinstance(state, RecoveringState)
    if told is not None:
        assert 0 <= (await state.time() or 0.0) - told < 60
        assert told == pytest.approx(time.time(), abs=60)


async def test_unfinished_uploads_are_counted_by_their_status(state: State) -> None:
    assert not any((await state.count_open()).values())
    odd = 'a YQ==,b "status":"completed"'  # in a value, as no client could send it
    for number, status in enumerate([Status.PENDING, Status.PAUSED, Status.PAUSED, Status.VERIFYING, *FINAL]):
        upload = replace(UPLOAD, id=UploadId(f"{number:032x}"), status=status, metadata=odd)
        await state.insert(upload)
    assert dict(await state.count_open()) == {Status.PENDING: 1, Status.PAUSED: 2, Status.VERIFYING: 1}


async def test_an_unknown_record_is_missing(state: State) -> None:
    with pytest.raises(Missing):
        await state.load(ID)
    with pytest.raises(Missing):
        await state.save(UPLOAD)
    await state.forget(ID)


async def test_a_save_under_the_lease_returns_the_next_version(state: State) -> None:
    await state.insert(UPLOAD)
    async with state.hold(ID, wait=1, on_rival=ignore) as lease:
        saved = await state.save(replace(UPLOAD, offset=5, epoch=lease.epoch))
        assert (saved.version, saved.offset) == (2, 5)
        assert await state.load(ID) == saved
        assert (await state.save(replace(saved, offset=6))).version == 3


async def test_a_save_of_an_old_version_is_stale(state: State) -> None:
    await state.insert(UPLOAD)
    async with state.hold(ID, wait=1, on_rival=ignore) as lease:
        first = replace(UPLOAD, epoch=lease.epoch)
        await state.save(replace(first, offset=5))
        with pytest.raises(Stale):
            await state.save(replace(first, offset=4))
        assert (await state.load(ID)).offset == 5


async def test_a_save_without_the_lease_is_stale(state: State) -> None:
    await state.insert(UPLOAD)
    with pytest.raises(Stale):
        await state.save(UPLOAD)
    async with state.hold(ID, wait=1, on_rival=ignore) as old:
        pass
    with pytest.raises(Stale):
        await state.save(replace(UPLOAD, epoch=old.epoch))
    async with state.hold(ID, wait=1, on_rival=ignore) as new:
        assert new.epoch > old.epoch
        with pytest.raises(Stale):
            await state.save(replace(UPLOAD, epoch=old.epoch))
        await state.save(replace(UPLOAD, epoch=new.epoch))


async def test_there_are_never_more_unfinished_uploads_than_are_allowed(state: State) -> None:
    async def insert(number: int) -> UploadId | None:
        upload = replace(UPLOAD, id=UploadId(f"{number:032x}"))
        with suppress(Crowded):
            await state.insert(upload, most=5)
            return upload.id
        return None

    first, second, *others = filter(None, await asyncio.gather(*(insert(number) for number in range(20))))
    assert len(others) == 3
    async with state.hold(first, wait=0, on_rival=ignore) as lease:
        upload = await state.save(replace(await state.load(first), epoch=lease.epoch, offset=5))
        assert await insert(20) is None
        upload = await state.save(replace(upload, status=Status.TERMINATED))
        assert await insert(21)
        await state.save(upload)  # a finished upload that is saved again makes no more room
        assert await insert(22) is None
    await state.forget(first)
    assert await insert(23) is None
    await state.forget(second)
    assert await insert(24)
    assert await insert(25) is None
    await state.insert(replace(UPLOAD, id=UploadId("f" * 32)))  # a server without a limit
    assert await insert(26) is None


async def test_a_forgotten_record_is_missing(state: State) -> None:
    await state.insert(UPLOAD)
    await state.forget(ID)
    with pytest.raises(Missing):
        await state.load(ID)
    assert [upload async for upload in state.due(1000)] == []


async def test_what_is_due_comes_in_its_order(state: State) -> None:
    for number, due in enumerate([30.0, 10.0, None, 20.0, 40.0]):
        await state.insert(replace(UPLOAD, id=UploadId(str(number)), due=due))
    assert [id_ async for id_ in state.due(30.0)] == ["1", "3", "0"]
    async with state.hold(UploadId("1"), wait=1, on_rival=ignore) as lease:
        await state.save(replace(await state.load(UploadId("1")), epoch=lease.epoch, due=None))
    assert [id_ async for id_ in state.due(30.0)] == ["3", "0"]


async def test_many_that_are_due_come_once_each_also_if_they_are_due_at_the_same_time(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("redis.due", "sqlite"):
        monkeypatch.setattr(f"onward.storage.state.{module}.DUE_BATCH", 4)
    ids = [f"{number:032x}" for number in range(30)]
    for id_ in ids:
        await state.insert(replace(UPLOAD, id=UploadId(id_), due=10.0 if id_ < ids[12] else 20.0 + int(id_, 16)))
    assert [id_ async for id_ in state.due(1000)] == ids
    seen = []
    async for id_ in state.due(1000):  # as the sweep does, which takes what is due away
        seen.append(id_)
        if int(id_, 16) % 3:
            async with state.hold(id_, wait=1, on_rival=ignore) as lease:
                await state.save(replace(await state.load(id_), epoch=lease.epoch, due=None))
    assert seen == ids
    assert [id_ async for id_ in state.due(1000)] == ids[::3]


async def test_a_rival_is_reported_to_the_holder_and_waits_for_it(state: State) -> None:
    await state.insert(UPLOAD)
    asked = asyncio.Event()
    order = []

    async def newcomer() -> None:
        async with state.hold(ID, wait=5, on_rival=ignore):
            order.append("newcomer")

    async with state.hold(ID, wait=1, on_rival=asked.set):
        task = asyncio.create_task(newcomer())
        await asyncio.wait_for(asked.wait(), 2)
        await asyncio.sleep(0.1)
        order.append("holder")
    await asyncio.wait_for(task, 2)
    assert order == ["holder", "newcomer"]


async def test_a_rival_gets_held_if_the_holder_stays(state: State) -> None:
    await state.insert(UPLOAD)
    async with state.hold(ID, wait=1, on_rival=ignore) as lease:
        for wait in (0, 0.2):
            with pytest.raises(Held):
                async with state.hold(ID, wait=wait, on_rival=ignore):
                    pass
        await state.save(replace(UPLOAD, epoch=lease.epoch))


async def test_a_cancelled_waiter_takes_nothing_along(state: State) -> None:
    await state.insert(UPLOAD)

    async def hold() -> None:
        async with state.hold(ID, wait=5, on_rival=ignore):
            pass

    for _ in range(10):
        async with state.hold(ID, wait=1, on_rival=ignore):
            waiters = [asyncio.create_task(hold()) for _ in range(3)]
            await asyncio.sleep(random.uniform(0, 0.05))
            waiters[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiters[0]
        await asyncio.wait_for(asyncio.gather(*waiters[1:]), 3)
    async with state.hold(ID, wait=0, on_rival=ignore):
        pass


async def test_only_one_holds_at_a_time(state: State) -> None:
    await state.insert(UPLOAD)
    inside = 0
    epochs = []

    async def hold() -> None:
        nonlocal inside
        async with state.hold(ID, wait=20, on_rival=ignore) as lease:
            inside += 1
            assert inside == 1
            epochs.append(lease.epoch)
            await asyncio.sleep(0.005)
            inside -= 1

    await asyncio.gather(*(hold() for _ in range(10)))
    assert epochs == sorted(set(epochs))


async def save(state: State, count: int, id: UploadId = ID) -> Upload:
    """Save a record `count` times, and return it as it is then."""
    async with state.hold(id, wait=1, on_rival=ignore) as lease:
        upload = replace(await state.load(id), epoch=lease.epoch)
        for _ in range(count):
            upload = await state.save(upload)
    return upload


async def test_watchers_get_the_newest(state: State) -> None:
    other_id = UploadId("1" * 32)
    await state.insert(UPLOAD)
    await state.insert(replace(UPLOAD, id=other_id))
    async with state.subscribe(ID) as one, state.subscribe(ID) as other:
        saved = await save(state, 1)
        assert await asyncio.wait_for(anext(one), 2) == progress(saved)
        saved = await save(state, 3)
        await save(state, 9, other_id)
        await asyncio.sleep(0.2)
        assert await asyncio.wait_for(anext(one), 2) == progress(saved)
        assert await asyncio.wait_for(anext(other), 2) == progress(saved)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(one), 0.1)


async def test_a_later_watcher_of_the_same_upload_is_served_too(state: State) -> None:
    await state.insert(UPLOAD)
    async with state.subscribe(ID):
        pass
    async with state.subscribe(ID) as again:
        saved = await save(state, 1)
        assert (await asyncio.wait_for(anext(again), 2)).seq == saved.version


async def test_a_save_that_is_refused_reaches_no_watcher(state: State) -> None:
    await state.insert(UPLOAD)
    async with state.subscribe(ID) as events:
        async with state.hold(ID, wait=1, on_rival=ignore) as lease:
            with pytest.raises(Stale):
                await state.save(replace(UPLOAD, version=7, epoch=lease.epoch))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                async for event in events:  # at most the state on joining
                    assert event == progress(UPLOAD)


async def test_a_waiter_cancelled_at_its_turn_leaves_the_lease_free(state: State) -> None:
    await state.insert(UPLOAD)

    async def hold() -> None:
        async with state.hold(ID, wait=5, on_rival=ignore):
            await asyncio.sleep(1)

    for _ in range(20):
        async with state.hold(ID, wait=1, on_rival=ignore):
            waiter = asyncio.create_task(hold())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        async with state.hold(ID, wait=0, on_rival=ignore):
            pass


async def test_an_error_in_on_rival_leaves_the_lease_free(state: State) -> None:
    await state.insert(UPLOAD)

    def fail() -> None:
        raise RuntimeError

    async with state.hold(ID, wait=0, on_rival=fail):
        with suppress(RuntimeError, Held):
            async with state.hold(ID, wait=0.2, on_rival=ignore):
                pass
    async with state.hold(ID, wait=0, on_rival=ignore):
        pass


async def test_a_record_at_rest_is_returned_without_the_lease_and_one_that_is_held_is_not(state: State) -> None:
    other, unknown = replace(UPLOAD, id=UploadId("f" * 32)), UploadId("e" * 32)
    await state.insert(other)

    async def found() -> Upload | None:
        first, none, found, last = await state.at_rest([other.id, unknown, ID, other.id])
        assert (first, none, last) == (other, None, other)
        return found

    assert await found() is None
    await state.insert(UPLOAD)
    assert await found() == UPLOAD
    async with state.hold(ID, wait=1, on_rival=ignore) as lease:
        assert await found() is None
        saved = await state.save(replace(UPLOAD, offset=5, epoch=lease.epoch))
    assert await found() == saved
    await state.forget(ID)
    assert await found() is None
    assert await state.at_rest([]) == []


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis", "adopting", "cluster"])
async def test_promises_are_the_sum_of_all_unfinished_records(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = url_of(kind, request)
    dice, known = random.Random(7), dict[UploadId, Upload]()

    async def opened() -> Storage:
        return await open_storage(state=url, blobs="file:", data=tmp_path)

    storage = await opened()
    for number in range(200):
        state, act = storage.state, dice.choice(["insert", "insert", "save", "save", "save", "save", "end", "forget"])
        id_ = UploadId(f"{number:032x}")
        if act == "insert" or not known:
            length = dice.choice([None, 0, 7, 10**6, 2**40])
            known[id_] = replace(UPLOAD, id=id_, length=length)
            await state.insert(known[id_])
        elif act == "forget":
            await state.forget(known.pop(dice.choice(list(known))).id)
        else:
            upload = known[dice.choice(list(known))]
            offset = dice.randint(upload.offset, 10**5 if upload.length is None else upload.length)
            status = dice.choice(list(FINAL)) if act == "end" else Status.UPLOADING
            async with state.hold(upload.id, wait=1, on_rival=ignore) as lease:
                with suppress(Stale):  # an old version changes nothing
                    await state.save(replace(upload, version=upload.version - 1, epoch=lease.epoch, offset=0))
                    raise AssertionError
                changed = replace(upload, offset=offset, status=status, epoch=lease.epoch)
                known[upload.id] = await state.save(changed)
        if number % 50 == 25 and kind != "memory":
            await storage.close()
            storage = await opened()
        if number % 50 == 30 and kind == "adopting":
            request.getfixturevalue("redis_process").flush()
            assert [id_ async for id_ in storage.state.due(0)] == []  # fills it again
        assert await storage.state.promised() == sum_of(known.values()), (number, act)
    assert sum_of(known.values()).unsent
    await storage.close()
