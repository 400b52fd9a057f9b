"""Parts become one file: copied inside the store, and hashed beside it, from the first to the last."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from typing import Protocol

from protocol.errors import Locked, Refusal
from protocol.model import Place, Upload
from server.running_hash import RunningHash
from storage.base import Blobs


class Cuttable(Protocol):
    """Work that a rival or the end of the server can cut short."""

    def cut(self, why: Refusal) -> None:
        """End it soon, with what was done."""


class Interruption:
    """Lets a rival, or the end of the server, stop work that can be done again later."""

    def __init__(self) -> None:
        self._why: Refusal | None = None

    def cut(self, why: Refusal) -> None:
        """Stop the work at its next step."""
        self._why = self._why or why

    def give_way(self) -> None:
        """Stop the work for a rival."""
        self.cut(Locked("Another request took the upload over."))

    def check(self) -> None:
        """Raise what stops the work, if anything does."""
        if self._why is not None:
            raise self._why


async def hash_stored(
    blobs: Blobs, place: Place, length: int, running: RunningHash, check: Callable[[], None], *, fresh: bool
) -> None:
    """Add the first bytes of a place to a hash; `check` may raise, between steps. Raises Missing for lost bytes."""
    if not length:  # there may be no file yet
        return
    async with aclosing(blobs.scan(place, length, running.take, fresh=fresh)) as steps:
        async for _ in steps:
            check()


async def join(
    blobs: Blobs, place: Place, parts: Sequence[Upload], running: RunningHash, check: Callable[[], None]
) -> None:
    """Fill a place with whole parts; `check` may raise, between steps. Raises Missing for lost bytes."""

    async def hash_them() -> None:
        for part in parts:
            await hash_stored(blobs, part.place, part.offset, running, check, fresh=False)

    hashing = asyncio.create_task(hash_them())
    try:
        async with aclosing(blobs.join(place, [(part.place, part.offset) for part in parts])) as steps:
            async for _ in steps:
                check()
        while not hashing.done():
            await asyncio.wait({hashing}, timeout=0.1)
            check()
        await hashing
    finally:
        hashing.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await hashing
