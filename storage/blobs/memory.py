"""Bytes and backups of records in memory, for tests and demonstrations: nothing survives the process."""

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from onward.protocol.model import Place, Upload, UploadId
from onward.storage.base import (
    ANYONE,
    NOTHING_KNOWN,
    NOTHING_SAID,
    About,
    Ahead,
    BlobWriter,
    Block,
    Durability,
    Missing,
    Modes,
    Stale,
    StoredBytes,
    Stride,
    is_staged,
)
from onward.storage.blobs.fixed import FixedPlaces
from onward.storage.blobs.places import candidates

READ_BLOCK = 2**20


class MemoryWriter:
    """Writes to a growing array of bytes."""

    full = False
    boundary = None
    lasts = False
    steady = True

    def __init__(self, place: Place, at: int, held: bytearray) -> None:
        self.place = place
        self._reached, self._held = at, held

    def write(self, block: Block, at: int) -> None:
        """Write the whole block at a position."""
        self._held[at : at + len(block)] = block
        self._reached = at + len(block)

    async def drained(self) -> None:
        """Return at once: this writer is never full."""

    async def sync(self, *, ended: bool = False) -> int:  # noqa: ARG002
        """Return the end of what was written; nothing here is durable."""
        return self._reached


class MemoryBackups:
    """Copies of records in a dictionary."""

    def __init__(self) -> None:
        self.store = secrets.token_hex(16)
        self._kept: dict[UploadId, Upload] = {}

    async def begin(self, upload: Upload, *, durable: bool) -> None:  # noqa: ARG002
        """Write the first copy of a record; raises Stale."""
        self._put(upload)

    async def keep(self, upload: Upload, *, durable: bool) -> None:  # noqa: ARG002
        """Replace the copy by a newer one; raises Missing or Stale."""
        if upload.id not in self._kept:
            raise Missing(upload.id)
        self._put(upload)

    def _put(self, upload: Upload) -> None:
        known = self._kept.get(upload.id, upload)
        if known != upload and (known.epoch, known.version) >= (upload.epoch, upload.version):
            raise Stale(upload.id)
        self._kept[upload.id] = upload

    async def kept(self, id: UploadId) -> Upload | None:
        """Return the copy, or None if there is none."""
        return self._kept.get(id)

    async def kept_of(self, ids: Sequence[UploadId]) -> Sequence[Upload | None]:
        """Return the copy of each, or None if there is none."""
        return [self._kept.get(id_) for id_ in ids]

    async def renew(self, upload: Upload, holds: Callable[[], bool]) -> None:
        """Replace the copy, which no other process can write to; raises Stale."""
        if not holds():
            raise Stale(upload.id)
        self._kept[upload.id] = upload

    async def drop(self, id: UploadId) -> None:
        """Remove the copy of an upload."""
        self._kept.pop(id, None)

    async def probe(self) -> None:
        """Do nothing: memory is always there."""

    async def ids(self) -> AsyncIterator[UploadId]:
        """Yield the ids of all uploads that have copies."""
        for id_ in list(self._kept):
            yield id_


class MemoryNodes:
    """One process that has its memory to itself."""

    def __init__(self) -> None:
        self.name = secrets.token_hex(8)

    async def is_dead(self, name: str) -> bool:
        """Return True for every other node: none has ever seen this memory."""
        return name not in (self.name, ANYONE)

    async def probe(self) -> None:
        """Do nothing: there are no others."""

    async def close(self) -> None:
        """Do nothing: there are no others."""


class MemoryBlobs(FixedPlaces):
    """Bytes in arrays."""

    stride = Stride(bytes=16 * 2**20, seconds=0.25)
    short = None

    def __init__(self) -> None:
        self._held: dict[Place, bytearray] = {}
        self._owners: dict[Place, UploadId] = {}  # of what is published

    async def create(self, id: UploadId) -> Place:
        """Return a place for a new upload."""
        return Place(f"partial/{id}")

    @asynccontextmanager
    async def open(
        self,
        place: Place,
        at: int,
        holds: Callable[[], bool] = lambda: True,
        _ahead: Ahead = NOTHING_KNOWN,
    ) -> AsyncIterator[BlobWriter]:
        """Open a place that holds at least `at` bytes; raises Missing or Stale."""
        if len(self._held.get(place, b"")) < at:
            raise Missing(place)
        if not holds():
            raise Stale(place)
        yield MemoryWriter(place, at, self._held.setdefault(place, bytearray()))

    def _bytes(self, place: Place, length: int) -> bytearray:
        held = self._held.get(_arriving(place))
        if held is None:
            held = self._held.get(self._published(place))
        if held is None or len(held) < length:
            raise Missing(place)
        return held

    def _published(self, place: Place) -> Place:
        """Return where a place is published, or would be if it were now."""
        if place in self._owners:
            return place
        id_, path = _id(place), place.partition("//")[2]
        names = [Place(f"files/{name}") for name in (candidates(path, id_) if path else (id_,))]
        owned = (name for name in names if self._owners.get(name) == id_)
        return next(owned, None) or next(name for name in names if name not in self._owners)

    async def read(self, place: Place, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes [start, stop); raises Missing."""
        held = self._bytes(place, stop)
        for at in range(start, stop, READ_BLOCK):
            yield bytes(held[at : min(at + READ_BLOCK, stop)])

    @asynccontextmanager
    async def file(self, place: Place, length: int) -> AsyncIterator[None]:
        """Return None: there is no descriptor of memory. Raises Missing."""
        self._bytes(place, length)
        yield None

    async def scan(
        self,
        place: Place,
        length: int,
        take: Callable[[Block], None],
        *,
        fresh: bool = False,  # noqa: ARG002
    ) -> AsyncGenerator[int, None]:
        """Call `take` with the first `length` bytes; raises Missing."""
        at = 0
        async for block in self.read(place, 0, length):
            take(block)
            at += len(block)
            yield at

    async def join(self, place: Place, parts: Sequence[tuple[Place, int]]) -> AsyncGenerator[int, None]:
        """Fill a place with the first bytes of each part; raises Missing."""
        joined = bytearray()
        for part, length in parts:
            async for block in self.read(part, 0, length):
                joined += block
                yield len(joined)
        self._held[place] = joined

    async def joined_size(self, lengths: Sequence[int]) -> int:
        """Return the sum: everything is copied."""
        return sum(lengths)

    async def stage(
        self,
        place: Place,
        length: int,
        path: str,
        holds: Callable[[], bool] = lambda: True,
        *,
        acknowledged: bool = False,  # noqa: ARG002
        check: Callable[[], None] = lambda: None,  # noqa: ARG002
    ) -> Place:
        """Note the path that a place shall get; raises Missing or Stale."""
        if length:
            self._bytes(place, length)
        if not holds():
            raise Stale(place)
        if is_staged(place):
            return place
        if self._published(place) in self._held:
            return self._published(place)
        self._held.setdefault(place, bytearray())
        return Place(f"{place}//{path}")

    async def seal(
        self,
        place: Place,
        length: int,
        holds: Callable[[], bool] = lambda: True,
        *,
        acknowledged: bool = False,  # noqa: ARG002
        check: Callable[[], None] = lambda: None,  # noqa: ARG002
        about: About = NOTHING_SAID,  # noqa: ARG002
    ) -> Place:
        """Publish exactly `length` bytes; raises Missing or Stale."""
        arriving, final = _arriving(place), self._published(place)
        held = self._held.get(arriving) or self._held.get(final, bytearray())
        if len(held) < length:
            raise Missing(place)
        if not holds():
            raise Stale(place)
        self._held[final], self._owners[final] = held[:length], self._owners.get(final) or _id(place)
        if arriving != final:
            self._held.pop(arriving, None)
        return final

    async def share(
        self,
        place: Place,
        equal: Place,
        length: int,
        check: Callable[[], None] = lambda: None,  # noqa: ARG002
    ) -> bool:
        """Return False: each place has its own bytes. Raises Missing if they are not equal."""
        if self._bytes(place, length)[:length] != self._bytes(equal, length)[:length]:
            raise Missing(equal)
        return False

    async def trim(self, place: Place, at: int, holds: Callable[[], bool]) -> int:
        """Remove all bytes from a position on, and return how many there were; raises Missing or Stale."""
        async with self.open(place, at, holds):
            after = len(self._held[place]) - at
            del self._held[place][at:]
        return after

    async def fence(self, place: Place, length: int, holds: Callable[[], bool]) -> Place:
        """Check the place: no other process can write to it. Raises Missing or Stale."""
        if length:
            self._bytes(place, length)
        if not holds():
            raise Stale(place)
        return place

    async def room(self) -> None:
        """Return None: the free memory is unknown."""

    async def probe(self) -> None:
        """Do nothing: memory is always there."""

    async def sync(self, place: Place) -> None:
        """Check that the place exists; raises Missing."""
        self._bytes(place, 0)

    async def remove(self, place: Place) -> None:
        """Remove a place, published or not."""
        for name in (_arriving(place), self._published(place)):
            self._held.pop(name, None)
            self._owners.pop(name, None)

    async def strays(self, before: float) -> AsyncIterator[tuple[Place, UploadId | None]]:  # noqa: ARG002
        """Yield nothing: a crash leaves nothing in memory."""
        nothing: tuple[tuple[Place, UploadId | None], ...] = ()
        for stray in nothing:
            yield stray

    async def close(self) -> None:
        """Forget everything."""
        self._held.clear()


def _arriving(place: Place) -> Place:
    """Return a place without the path that it shall get."""
    return Place(place.partition("//")[0])


def _id(place: Place) -> UploadId:
    return UploadId(_arriving(place).rpartition("/")[2].partition(".")[0])


async def open_blobs(_url: str, _data: Path, _durability: Durability, _shared: bool, _modes: Modes) -> StoredBytes:
    """Return an empty store of bytes."""
    return StoredBytes(blobs=MemoryBlobs(), backups=MemoryBackups(), nodes=MemoryNodes())
