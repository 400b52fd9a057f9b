"""What a request sends: pieces of some blocks, each of which puts off the end of the request's time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from onward.client.errors import UploadError

PIECE = 2**16  # bytes that have to go through within the time for a stall


class Body:
    """A body of `size` bytes; `fault` is what went wrong on our side, which the HTTP client takes for a bad line.

    An answer that is late is a stall too: the server may be busy with the file, but it can be asked how far it is.
    """

    def __init__(
        self, blocks: AsyncIterator[bytes], size: int, *, stall_after: float, moved: Callable[[int], None]
    ) -> None:
        self.size = size
        self.fault: UploadError | None = None
        self._blocks, self._stall_after, self._moved = blocks, stall_after, moved
        self._limit: asyncio.Timeout | None = None

    async def pieces(self, limit: asyncio.Timeout) -> AsyncGenerator[memoryview, None]:
        """Give the pieces, and move the limit on with each that is taken."""
        self._limit = limit
        self._put_off()
        try:
            async for block in self._blocks:
                for at in range(0, len(block), PIECE):
                    piece = memoryview(block)[at : at + PIECE]
                    yield piece
                    self._moved(len(piece))
                    self._put_off()
        except UploadError as fault:
            self.fault = fault
            raise

    def release(self) -> None:
        """Let go of the limit; the request is over."""
        self._limit = None

    def _put_off(self) -> None:
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + self._stall_after)
