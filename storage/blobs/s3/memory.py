"""The memory for bytes that are on their way to the store: one budget for all bodies of the server (`--upload-memory`).

A body takes memory a little at a time, as its bytes arrive, and gives it back when they are stored. If nothing is left,
it has to wait. All bodies might then wait for each other for ever, each with a part that is not full yet. So the budget
says when it is `scarce`, and then bodies store what they have as a tail, although it fills no part.

The bytes lie in buffers that are used again. New memory for each block would have to be mapped, filled with zeros and
unmapped by the kernel each time, which takes a sixth of the processor time of a large body.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

GRANT = 2**20  # bytes that are taken at a time; no block that is written is larger
BUFFER = 2**20  # bytes
KEPT = 32  # buffers that are kept while nobody uses them


class Memory:
    """A budget of bytes, and buffers for them. Used on the event loop only, but for `borrow`."""

    def __init__(self, limit: int) -> None:
        self.free = max(limit, GRANT)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._buffers: list[bytearray] = []

    def borrow(self) -> bytearray:
        """Return a buffer of BUFFER bytes with any content; may be called in any thread."""
        try:
            return self._buffers.pop()
        except IndexError:
            return bytearray(BUFFER)

    def put_back(self, buffers: Iterable[bytearray]) -> None:
        """Let buffers be used again; nobody may read them any more."""
        for buffer in buffers:
            if len(self._buffers) < KEPT:
                self._buffers.append(buffer)

    @property
    def scarce(self) -> bool:
        """Return whether bodies wait for memory."""
        return bool(self._waiting)

    def take_now(self) -> bool:
        """Take one grant if there is one, and nobody waits for it."""
        if self._waiting or self.free < GRANT:
            return False
        self.free -= GRANT
        return True

    async def take(self, within: float) -> bool:
        """Take one grant; returns False if there was none in time, in seconds."""
        if self.take_now():
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await asyncio.wait({turn}, timeout=within)
        except asyncio.CancelledError:
            if turn.done():
                self.give(GRANT)
            raise
        finally:
            with suppress(ValueError):
                self._waiting.remove(turn)
        return turn.done()

    def give(self, size: int) -> None:
        """Give memory back."""
        self.free += size
        while self._waiting and self.free >= GRANT:
            self.free -= GRANT
            self._waiting.popleft().set_result(None)
