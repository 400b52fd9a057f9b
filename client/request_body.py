"""The body of one PATCH, in small pieces: each piece that goes out puts off the time limit of the request.

So a request may last for hours, but ends `stall_after` seconds after the last piece.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from onward.client.errors import UploadError
from onward.client.pace import Pace

PIECE = 2**16  # bytes that must go out within `stall_after`


class RequestBody:
    """A body of `size` bytes.

    `fault` is the error of the source, if it could not be read: aiohttp only reports a lost connection then.

    An answer that is late counts as a stall too: the server may be busy with the file, but it can be asked for its
    offset.
    """

    def __init__(
        self,
        blocks: AsyncIterator[bytes],
        size: int,
        *,
        stall_after: float,
        pace: Pace,
        on_sent: Callable[[int], None],
    ) -> None:
        self.size = size
        self.fault: UploadError | None = None
        self._blocks, self._stall_after, self._pace, self._on_sent = blocks, stall_after, pace, on_sent
        self._limit: asyncio.Timeout | None = None

    async def pieces(self, limit: asyncio.Timeout) -> AsyncGenerator[memoryview, None]:
        """Yield the pieces, and put off the limit with each that is taken."""
        self._limit = limit
        self._put_off()
        try:
            async for block in self._blocks:
                size = self._pace.piece(PIECE)
                for at in range(0, len(block), size):
                    piece = memoryview(block)[at : at + size]
                    self._put_off(forever=True)
                    await self._pace.take(len(piece))
                    self._put_off()
                    yield piece
                    self._on_sent(len(piece))
                    self._put_off()
        except UploadError as fault:
            self.fault = fault
            raise

    def release(self) -> None:
        """Forget the limit: the request is over, although aiohttp may still ask for a piece."""
        self._limit = None

    def _put_off(self, *, forever: bool = False) -> None:
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(None if forever else asyncio.get_running_loop().time() + self._stall_after)
