"""A record that a thread saves itself: it is in the file at once, and known in the process once it is taken."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from test_state_contract import ID, UPLOAD, ignore

from onward.protocol.model import Upload
from onward.storage.base import Lease, SavesHere, Stale, Unreachable
from onward.storage.state.memory import MemoryState
from onward.storage.state.sqlite import SqliteState


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[SqliteState]:
    state = SqliteState(tmp_path / "state.sqlite")
    await state.insert(UPLOAD)
    yield state
    await state.close()


def later(lease: Lease) -> Upload:
    return replace(UPLOAD, offset=5, epoch=lease.epoch)


def test_only_sqlite_saves_in_the_thread_that_calls() -> None:
    assert issubclass(SqliteState, SavesHere)
    assert not issubclass(MemoryState, SavesHere)


async def test_watchers_are_notified_when_the_result_is_taken(state: SqliteState) -> None:
    async with state.hold(ID, wait=0, on_rival=ignore) as lease, state.subscribe(ID) as messages:
        take = await asyncio.to_thread(state.save_here, later(lease))
        assert take is not None
        following = asyncio.ensure_future(anext(messages))
        await asyncio.sleep(0.02)
        assert not following.done()
        saved = take()
        assert (saved.offset, saved.version) == (5, UPLOAD.version + 1)
        assert '"uploadedBytes": 5,' in (await asyncio.wait_for(following, 5)).json
        assert await state.load(ID) == await state.load(ID, fresh=True) == saved


async def test_a_result_that_nobody_takes_leaves_no_old_record_in_memory(state: SqliteState) -> None:
    async with state.hold(ID, wait=0, on_rival=ignore) as lease:
        assert await asyncio.to_thread(state.save_here, later(lease))
    assert (await state.load(ID)).offset == 5


async def test_without_the_lease_nothing_is_saved(state: SqliteState) -> None:
    async with state.hold(ID, wait=0, on_rival=ignore) as lease:
        pass
    assert await asyncio.to_thread(state.save_here, later(lease)) is None
    assert await state.load(ID, fresh=True) == UPLOAD


async def test_an_older_version_is_stale(state: SqliteState) -> None:
    async with state.hold(ID, wait=0, on_rival=ignore) as lease:
        saved = await state.save(replace(later(lease), offset=7))
        take = await asyncio.to_thread(state.save_here, later(lease))
        assert take is not None
        with pytest.raises(Stale):
            take()
        assert await state.load(ID) == saved


async def test_a_transaction_that_fails_raises_when_it_is_taken(state: SqliteState) -> None:
    await state._do(
        lambda db: db.execute("CREATE TRIGGER broken BEFORE UPDATE ON uploads BEGIN SELECT RAISE(ABORT, 'broken'); END")
    )
    async with state.hold(ID, wait=0, on_rival=ignore) as lease:
        take = await asyncio.to_thread(state.save_here, later(lease))
        assert take is not None
        with pytest.raises(Unreachable):
            take()
    assert await state.load(ID) == UPLOAD


async def test_it_does_not_wait_for_a_connection_that_is_in_use(state: SqliteState) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(_: object) -> None:
        began.set()
        go_on.wait(10)

    busy = asyncio.ensure_future(state._do(slow))
    await asyncio.to_thread(began.wait, 10)
    async with state.hold(ID, wait=0, on_rival=ignore) as lease:
        try:
            assert await asyncio.wait_for(asyncio.to_thread(state.save_here, later(lease)), 5) is None
        finally:
            go_on.set()
        await busy
        assert await state.load(ID, fresh=True) == UPLOAD
        assert (await state.save(later(lease))).offset == 5


async def test_threads_and_the_own_one_take_turns(state: SqliteState) -> None:
    uploads = [replace(UPLOAD, id=f"{number:032x}") for number in range(1, 9)]
    for upload in uploads:
        await state.insert(upload)

    async def save_often(upload: Upload) -> int:
        here = 0
        async with state.hold(upload.id, wait=0, on_rival=ignore) as lease:
            saved = replace(upload, epoch=lease.epoch)
            for offset in range(1, 30):
                wanted = replace(saved, offset=offset % 10)
                if (take := await asyncio.to_thread(state.save_here, wanted)) is None:
                    saved = await state.save(wanted)
                else:
                    saved, here = take(), here + 1
            assert (await state.load(upload.id, fresh=True)).version == saved.version == 29 + UPLOAD.version
        return here

    assert sum(await asyncio.gather(*map(save_often, uploads))) > 0
    owed = await state.promised()
    assert owed.unsent == 10 + sum(10 - 29 % 10 for _ in uploads)


@pytest.mark.parametrize("version", [UPLOAD.version, UPLOAD.version + 1])
async def test_a_record_may_be_removed_from_memory_while_it_is_looked_at(state: SqliteState, version: int) -> None:
    class Shrinking(OrderedDict[str, Upload]):
        """What is in memory, when a thread removes a record as soon as it was found or put there."""

        def get(self, key: str, default: Any = None) -> Any:
            return self.pop(key, default)

        def __setitem__(self, key: str, value: Upload) -> None:
            super().__setitem__(key, value)
            self.pop(key)

    recent = Shrinking()
    OrderedDict.__setitem__(recent, ID, UPLOAD)
    state._recent = recent  # type: ignore[assignment]
    assert await state.load(ID) == UPLOAD
    assert state._remember(replace(UPLOAD, version=version)).version == version
