"""The pace of all bodies together, for `limit_rate`: each piece waits until its time has come."""

import asyncio

PIECES_A_SECOND = 10
SMALLEST_PIECE = 2**10


class Pace:
    """Lets `rate` bytes a second pass, from all requests together; without a rate, it lets everything pass at once."""

    def __init__(self, rate: int | None) -> None:
        self._rate, self._free_at = rate, 0.0

    def piece(self, size: int) -> int:
        """Return how large a piece may be, instead of `size`, so that the pace is even."""
        return size if self._rate is None else min(size, max(self._rate // PIECES_A_SECOND, SMALLEST_PIECE))

    async def take(self, count: int) -> None:
        """Wait until this many bytes may be sent."""
        if self._rate is None:
            return
        now = asyncio.get_running_loop().time()
        begin = max(now, self._free_at)
        self._free_at = begin + count / self._rate
        if begin > now:
            await asyncio.sleep(begin - now)
