"""Parts become one file: copied inside the store, and hashed beside it, from the first to the last."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Protocol, TypeVar

from protocol.errors import Locked, Refusal, Unavailable
from protocol.model import Place, Upload
from server.running_hash import RunningHash
from storage.base import Blobs
from storage.unbroken import disregard, unbroken


class Cuttable(Protocol):
    """Work that a rival or the end of the server can cut short."""

    def cut(self, why: Refusal) -> None:
        """End it soon, with what was done."""


C = TypeVar("C", bound=Cuttable)


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


class Running:
    """All work that the end of the server cuts short."""

    def __init__(self) -> None:
        self.stopping = False
        self._works: set[Cuttable] = set()

    @contextmanager
    def cuttable(self, work: C) -> Iterator[C]:
        """Let the end of the server cut the work."""
        self._works.add(work)
        if self.stopping:
            work.cut(Unavailable("The server is stopping."))
        try:
            yield work
        finally:
            self._works.discard(work)

    def stop(self) -> None:
        """Cut it all, and whatever begins from now on."""
        self.stopping = True
        for work in list(self._works):
            work.cut(Unavailable("The server is stopping."))


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
        hashing.add_done_callback(disregard)
        await unbroken(asyncio.wait({hashing}))
