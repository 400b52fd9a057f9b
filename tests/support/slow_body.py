"""A body whose bytes come when a test wants them, and that may hang at its end until it is cut."""

import asyncio
from collections.abc import Sequence

from bodies import Poured

from onward.protocol.errors import Refusal


class SlowBody(Poured):
    """The body of a request without HTTP."""

    def __init__(self, blocks: Sequence[bytes], cut: Refusal | None = None) -> None:
        self._blocks = [block for block in blocks if block]
        self._cut = cut
        self._hangs = False
        self.given = b""
        self.hanging = asyncio.Event()
        self._released = asyncio.Event()
        self.over = not self._blocks
        self.cut_by = cut if self.over else None

    def hang(self, blocks: Sequence[bytes]) -> None:
        """Give these blocks and then nothing, until somebody cuts the body."""
        self._blocks, self._hangs, self.over = [block for block in blocks if block], True, False

    async def block(self, size: int, until: float) -> bytes:
        """Give the next block."""
        if self._blocks:
            block = self._blocks.pop(0)
            self.given += block
            if not self._blocks and not self._hangs:
                self.over, self.cut_by = True, self._cut
            return block
        self.hanging.set()
        if self._hangs:
            await self._released.wait()
        self.over = True
        return b""

    def cut(self, why: Refusal) -> None:
        """End it now."""
        if not self.over:
            self.over, self.cut_by = True, why
            self._released.set()
