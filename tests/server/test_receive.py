"""The strides of a body: where the store allows it, the next one arrives while the last one is made durable."""

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

import pytest

from onward.protocol.model import Licence
from onward.server.uploads.receive import receive
from onward.storage.base import Stride, Unreachable

STRIDE, STRIDES = 10, 3


class Play:
    """A body, a writer and a head in one, which note what is done to them."""

    cut_by = None

    def __init__(self, *, steady: bool, fails: bool = False, takes: float = 0.005) -> None:
        self.steady, self._fails, self._takes = steady, fails, takes
        self.position, self.done = 0, list[str]()

    @property
    def over(self) -> bool:
        return self.position == STRIDE * STRIDES

    async def pour(self, *_: object) -> None:
        self.done.append("pour")
        await asyncio.sleep(0.01)
        self.position += STRIDE

    async def sync(self, *, ended: bool = False) -> int:
        reached = self.position
        self.done.append("sync")
        await asyncio.sleep(self._takes)
        if self._fails and not ended:
            raise Unreachable("the disk is gone")
        self.done.append(f"synced {reached}")
        return reached

    async def note(self, position: int, _: object) -> None:
        self.done.append(f"note {position}")

    async def nothing(self, *_: object) -> None:
        """Do nothing."""

    judge = nothing

    def lacks(self, _: int) -> int:
        return 0

    async def received(self) -> int:
        async def timed(work: Awaitable[int]) -> int:
            return await work

        each = cast("Any", self)
        return await receive(
            each, each, Licence(start=0, end=STRIDE * STRIDES), each, self.note, mark=lambda _: None, tell=self.nothing,
            stride=Stride(STRIDE, 1), check_room=self.nothing, head=each, timed=timed,
        )  # fmt: skip


async def test_a_steady_store_syncs_while_the_next_stride_arrives() -> None:
    play = Play(steady=True)
    assert await play.received() == 30
    steps = ["pour", "pour", "sync", "synced 10", "note 10", "pour", "sync", "synced 20", "note 20"]
    assert play.done == [*steps, "sync", "synced 30"]


async def test_any_other_store_gets_no_byte_before_the_last_stride_is_recorded() -> None:
    play = Play(steady=False)
    assert await play.received() == 30
    steps = ["pour", "sync", "synced 10", "note 10", "pour", "sync", "synced 20", "note 20", "pour"]
    assert play.done == [*steps, "sync", "synced 30"]


@pytest.mark.parametrize("steady", [False, True])
async def test_a_stride_that_can_not_be_synced_ends_the_body(steady: bool) -> None:
    play = Play(steady=steady, fails=True)
    with pytest.raises(Unreachable):
        await play.received()
    assert not any(step.startswith("note") for step in play.done)
    assert len(asyncio.all_tasks()) == 1, "nothing goes on"


async def test_no_cancellation_leaves_a_sync_behind_that_still_goes_on() -> None:
    play = Play(steady=True, takes=0.05)
    receiving = asyncio.ensure_future(play.received())
    while "sync" not in play.done:  # noqa: ASYNC110
        await asyncio.sleep(0)
    for _ in range(3):
        receiving.cancel()
        await asyncio.sleep(0.005)
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert "synced 10" in play.done
