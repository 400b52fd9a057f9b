"""Work of a request whose caller is cancelled: it is cut, and it counts as running until it has ended."""

import asyncio

import pytest

from onward.protocol.errors import Refusal
from onward.server.uploads.interrupt import Running


class Work:
    """Work that goes on for a moment after it was cut."""

    def __init__(self) -> None:
        self.reasons = list[Refusal]()
        self._cut, self.ended = asyncio.Event(), False

    def cut(self, why: Refusal) -> None:
        self.reasons.append(why)
        self._cut.set()

    async def run(self, running: Running) -> None:
        await self._cut.wait()
        await asyncio.sleep(0.01)
        assert running.count == 1
        self.ended = True


async def test_work_whose_caller_is_cancelled_is_running_until_it_has_ended() -> None:
    running, work = Running(), Work()
    calling = asyncio.ensure_future(running.finish_apart(work.run(running), work))
    await asyncio.sleep(0.01)
    assert running.count == 1
    calling.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert running.count == 1
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert (running.count, len(work.reasons)) == (0, 1)
    assert work.ended
