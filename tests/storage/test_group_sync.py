"""Shared syncs: a run that fails raises in all that waited for it, and in nothing that comes later."""

import asyncio
import os
from pathlib import Path

import pytest

from onward.storage.base import Unreachable
from onward.storage.running.group_sync import GroupSync, Sync


class Runs:
    """Runs of a sync, which fail on request as a pool without a thread does."""

    def __init__(self) -> None:
        self.fault: BaseException | None = None
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()

    async def run(self, sync: Sync, descriptors: list[int]) -> list[OSError | None]:
        self.began.set()
        await self.go_on.wait()
        if self.fault is not None:
            raise self.fault
        return sync(descriptors)


@pytest.fixture
def file(tmp_path: Path) -> int:
    return os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)


async def ended(*waiting: "asyncio.Future[None]") -> list[BaseException | None]:
    """Return how some syncs ended; all of them end soon."""
    _, late = await asyncio.wait(waiting, timeout=5)
    assert not late, "somebody waits for ever"
    return [each.exception() for each in waiting]


async def test_a_failed_run_fails_its_waiters_and_the_next_one_syncs(file: int) -> None:
    runs = Runs()
    group = GroupSync(runs.run)
    runs.go_on.set()
    runs.fault = Unreachable("no thread can be started")
    failed = [asyncio.ensure_future(group.sync(file)) for _ in range(3)]
    assert await ended(*failed) == [runs.fault] * 3
    runs.fault = None
    assert await ended(asyncio.ensure_future(group.sync(file))) == [None]


async def test_a_sync_asked_for_during_a_failing_run_is_done_by_the_next_one(file: int) -> None:
    runs = Runs()
    group = GroupSync(runs.run)
    runs.fault = fault = OSError("the run failed")
    first = asyncio.ensure_future(group.sync(file))
    await runs.began.wait()
    second = asyncio.ensure_future(group.sync(file))
    await asyncio.sleep(0)
    runs.go_on.set()
    assert await ended(first) == [fault]
    runs.fault = None
    assert await ended(second) == [None]


async def test_the_error_of_one_file_fails_no_other(file: int) -> None:
    runs = Runs()
    group = GroupSync(runs.run)
    runs.go_on.set()
    closed = os.dup(file)
    os.close(closed)
    good, bad = await ended(*(asyncio.ensure_future(group.sync(each)) for each in (file, closed)))
    assert good is None
    assert isinstance(bad, OSError)


async def test_a_cancelled_task_leaves_no_sync_waiting(file: int) -> None:
    runs = Runs()
    group = GroupSync(runs.run)
    first = asyncio.ensure_future(group.sync(file))
    await runs.began.wait()
    second = asyncio.ensure_future(group.sync(file))
    await asyncio.sleep(0)
    assert group._task is not None
    group._task.cancel()
    assert [type(fault) for fault in await ended(first, second)] == [Unreachable, Unreachable]
