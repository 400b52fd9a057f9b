"""Leases inside one process: one holder per upload, asked to give way by whoever comes next."""

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
    """Who holds the lease on one upload, and who waits for it in turn."""

    epoch: int
    on_rival: Callable[[], None]
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class LocalLeases:
    """Leases inside one process."""

    def __init__(self) -> None:
        self._seats: dict[UploadId, _Seat] = {}
        self._epochs = count(1)

    def proves(self, id: UploadId, epoch: int) -> bool:
        """Tell whether the lease with this epoch is held now."""
        seat = self._seats.get(id)
        return seat is not None and seat.epoch == epoch

    def held(self, id: UploadId) -> bool:
        """Tell whether anybody has the lease, or waits for it."""
        return id in self._seats

    @asynccontextmanager
    async def hold(
        self,
        id: UploadId,
        *,
        wait: float,
        on_rival: Callable[[], None],
    ) -> AsyncIterator[Lease]:
        """Hold the lease as the seam says."""
        seat = self._seats.get(id)
        if seat is None:
            seat = self._seats[id] = _Seat(next(self._epochs), on_rival)
        else:
            await self._turn(id, seat, wait)
            seat.epoch, seat.on_rival = next(self._epochs), on_rival
        try:
            if seat.waiting:
                on_rival()
            yield Lease(id=id, epoch=seat.epoch)
        finally:
            self._pass_on(id, seat)

    async def _turn(self, id: UploadId, seat: _Seat, wait: float) -> None:
        if wait <= 0:
            raise Held
        interrupt = asyncio.get_running_loop().create_future()
        seat.waiting.append(interrupt)
        try:
            seat.on_rival()
            async with asyncio.timeout(wait):
                await asyncio.shield(interrupt)
        except BaseException as error:
            if interrupt.done():
                if isinstance(error, TimeoutError):
                    return
                self._pass_on(id, seat)
            else:
                seat.waiting.remove(interrupt)
            if isinstance(error, TimeoutError):
                raise Held from None
            raise

    @staticmethod
    def _wake(seat: _Seat) -> bool:
        while seat.waiting:
            interrupt = seat.waiting.popleft()
            if not interrupt.done():
                interrupt.set_result(None)
                return True
        return False

    def _pass_on(self, id: UploadId, seat: _Seat) -> None:
        seat.epoch, seat.on_rival = 0, lambda: None
        if not self._wake(seat):
            del self._seats[id]
