"""A store of bytes in memory that does what no local one does, as object storage would do it.

Places move with each opening, each fence and each sync. Bytes are durable in whole pieces only, and all of them at the
end of a body. The writer pushes back, and refuses to be written to while it is full. What was not made durable is in
the writer only, so whoever forgets the writer has killed the server. `changed` is called after each durable step.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

from onward.protocol.model import Place, UploadId
from onward.storage.base import (
    NOTHING_KNOWN,
    NOTHING_SAID,
    About,
    Ahead,
    BlobWriter,
    Block,
    Durability,
    Modes,
    Stale,
    StoredBytes,
    Stride,
)
from onward.storage.blobs.memory import MemoryBackups, MemoryBlobs, MemoryNodes

PIECE = 2**16
MOST = 2 * PIECE  # bytes that the writer keeps before it is full


class MovingWriter:
    """Keeps blocks in memory until they fill a piece."""

    boundary = None
    lasts = steady = False

    def __init__(self, blobs: "MovingBlobs", place: Place, at: int) -> None:
        self.place = place
        self._blobs, self._at, self._kept = blobs, at, bytearray()
        self._admitted = False  # whether it has got its share of the memory

    @property
    def full(self) -> bool:
        """Return whether enough is kept, or whether no memory was granted yet."""
        return not self._admitted or len(self._kept) >= MOST

    def write(self, block: Block, at: int) -> None:
        """Keep a block; it has to follow the one before."""
        assert not self.full, "written to while it was full"
        assert at == self._at + len(self._kept), "object storage takes bytes in order"
        self._kept += block

    async def drained(self) -> None:
        """Store the pieces that are full."""
        await self._blobs.drained()
        self._admitted = True
        await self._store((self._at + len(self._kept)) // PIECE * PIECE)

    async def sync(self, *, ended: bool = False) -> int:
        """Store the pieces that are full, and at the end of a body the rest."""
        reached = self._at + len(self._kept)
        await self._store(reached if ended else reached // PIECE * PIECE)
        return self._at

    async def _store(self, reached: int) -> None:
        await asyncio.sleep(0)
        if reached <= self._at:
            return
        more, self._kept = self._kept[: reached - self._at], self._kept[reached - self._at :]
        self.place = self._blobs.move(self.place, self._at, bytes(more))
        self._at = reached


class MovingBlobs(MemoryBlobs):
    """Bytes in arrays, each of which is written once: every change is a new place."""

    stride = Stride(bytes=5 * PIECE + 1000, seconds=60)

    def __init__(self) -> None:
        super().__init__()
        self.changed: Callable[[], None] = lambda: None
        self._numbers = count(1)

    async def create(self, id: UploadId) -> Place:
        """Return the first place of an upload."""
        return Place(f"partial/{id}.0")

    async def drained(self) -> None:
        """Hear of each wait; tests replace it."""
        await asyncio.sleep(0)

    def places(self) -> dict[Place, bytes]:
        """Return what would be found after a crash."""
        return {place: bytes(held) for place, held in self._held.items()}

    def restore(self, places: dict[Place, bytes]) -> None:
        """Find what a crash has left."""
        self._held = {place: bytearray(held) for place, held in places.items()}

    def move(self, place: Place, at: int, more: bytes = b"") -> Place:
        """Make a new place from the first bytes of another one, which stays, and more."""
        moved = Place(f"{place.partition('.')[0]}.{next(self._numbers)}")
        held = self._bytes(place, at)[:at] if at else bytearray()
        self._held[moved] = held + more
        self.changed()
        return moved

    @asynccontextmanager
    async def open(
        self, place: Place, at: int, holds: Callable[[], bool] = lambda: True, _ahead: Ahead = NOTHING_KNOWN
    ) -> AsyncIterator[BlobWriter]:
        """Open a new place; those before `place` go, since a record names it."""
        if at:
            self._bytes(place, at)
        if not holds():
            raise Stale(place)
        self._drop(place, but=place)
        yield MovingWriter(self, self.move(place, at), at)

    async def fence(self, place: Place, length: int, holds: Callable[[], bool]) -> Place:
        """Move the bytes, unless they are published."""
        await super().fence(place, length, holds)
        if self._published(place) in self._held:
            return place
        arriving, mark, path = place.partition("//")
        return Place(self.move(Place(arriving), length) + mark + path)

    async def trim(self, place: Place, at: int, holds: Callable[[], bool]) -> int:
        """Find nothing: there is no room to give back."""
        self._bytes(place, at)
        if not holds():
            raise Stale(place)
        return 0

    async def remove(self, place: Place) -> None:
        """Remove all places of the upload."""
        self._drop(place, but=None)
        await super().remove(place)
        self.changed()

    async def seal(
        self,
        place: Place,
        length: int,
        holds: Callable[[], bool] = lambda: True,
        *,
        acknowledged: bool = False,
        check: Callable[[], None] = lambda: None,
        about: About = NOTHING_SAID,
    ) -> Place:
        """Publish exactly `length` bytes."""
        check()
        final = await super().seal(place, length, holds, acknowledged=acknowledged)
        self.changed()
        self._drop(place, but=None)
        self.changed()
        return final

    def _drop(self, place: Place, but: Place | None) -> None:
        mine = f"partial/{place.rpartition('/')[2].partition('.')[0]}."
        for other in [each for each in self._held if each.startswith(mine) and each != but]:
            del self._held[other]


def moving_bytes() -> StoredBytes:
    """Return a store whose places move."""
    return StoredBytes(blobs=MovingBlobs(), backups=MemoryBackups(), nodes=MemoryNodes())


async def open_blobs(_url: str, _data: Path, _durability: Durability, _shared: bool, _modes: Modes) -> StoredBytes:
    """Return an empty store: the opener for the table of stores."""
    return moving_bytes()
