"""Leases inside one process: one holder for each upload, and a queue of those that wait for it.

`storage/base/leases.py` explains what a lease is for. This is the whole implementation for the states that live in one
process (memory, SQLite), and the queue in front of Redis: of all requests of one process that want the same lease,
only one at a time asks Redis.

Each upload that has a holder has a `_Seat`; without one there is nothing to remember.

    A  hold()      no seat: make one, epoch 1            _Seat(epoch=1, on_rival=A's, waiting=[])
    B  hold()      seat: queue up, call A's on_rival     waiting=[B]
    C  hold()      the same                              waiting=[B, C]
    A  leaves      wake the first that still waits       waiting=[C]
    B  goes on     epoch 2; C waits, so B's own          _Seat(epoch=2, on_rival=B's, waiting=[C])
                   on_rival is called at once
    B, C leave     the last one removes the seat

A wait ends in one of three ways: the future is set (the lease is handed over), the time-out passes, or the task is
cancelled. Two of them may happen at the same moment. If the future is set already, the lease belongs to the waiting
request: after a time-out it keeps it, after a cancellation it passes it on.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from onward.protocol.model import UploadId
from onward.storage.base import Held, Lease


@dataclass(slots=True)
class _Seat:
    """The lease on one upload."""

    epoch: int  # of the present holder; 0 while the lease is handed over
    on_rival: Callable[[], None]  # asks the present holder to give the lease up
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)  # those that wait, the first in turn first


class LocalLeases:
    """Leases inside one process; see the top of this file."""

    def __init__(self) -> None:
        self._seats: dict[UploadId, _Seat] = {}
        self._epochs = count(1)

    def proves(self, id: UploadId, epoch: int) -> bool:
        """Return whether the lease with this epoch is held now."""
        seat = self._seats.get(id)
        return seat is not None and seat.epoch == epoch

    def held(self, id: UploadId) -> bool:
        """Return whether a request holds the lease, or waits for it."""
        return id in self._seats

    @asynccontextmanager
    async def hold(
        self,
        id: UploadId,
        *,
        wait: float,
        on_rival: Callable[[], None],
    ) -> AsyncIterator[Lease]:
        """Hold the lease; the present holder is asked to give it up. Raises Held if it did not in `wait` seconds."""
        seat = self._seats.get(id)
        if seat is None:
            seat = self._seats[id] = _Seat(next(self._epochs), on_rival)
        else:
            await self._wait(id, seat, wait)
            seat.epoch, seat.on_rival = next(self._epochs), on_rival
        try:
            if seat.waiting:
                on_rival()
            yield Lease(id=id, epoch=seat.epoch)
        finally:
            self._pass_on(id, seat)

    async def _wait(self, id: UploadId, seat: _Seat, wait: float) -> None:
        """Wait until the lease is handed over; raises Held."""
        if wait <= 0:
            raise Held
        turn = asyncio.get_running_loop().create_future()
        seat.waiting.append(turn)
        try:
            seat.on_rival()
            async with asyncio.timeout(wait):
                await asyncio.shield(turn)
        except BaseException as error:
            if turn.done():  # the lease was handed over at this very moment
                if isinstance(error, TimeoutError):
                    return
                self._pass_on(id, seat)
            else:
                seat.waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise Held from None
            raise

    @staticmethod
    def _wake(seat: _Seat) -> bool:
        """Hand the lease to the first that still waits; returns False if there is none."""
        while seat.waiting:
            turn = seat.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return True
        return False

    def _pass_on(self, id: UploadId, seat: _Seat) -> None:
        seat.epoch, seat.on_rival = 0, lambda: None
        if not self._wake(seat):
            del self._seats[id]
