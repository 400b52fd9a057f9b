"""Bytes and backups of records in memory, for tests and demonstrations: nothing survives the process."""

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from onward.protocol.model import Place, Upload, UploadId
from onward.storage.base import Block, Durability, Missing, Stale

READ_BLOCK = 2**20


class MemoryWriter:
    """A growing array of bytes."""

    def __init__(self, held: bytearray) -> None:
        self._held = held

    def write(self, block: Block, at: int) -> None:
        """Write the block at a position."""
        self._held[at : at + len(block)] = block

    def trim(self, at: int) -> int:
        """Remove all bytes from a position on, and return how many there were."""
        after = len(self._held[at:])
        del self._held[at:]
        return after

    async def sync(self) -> None:
        """Nothing is more durable than memory here."""


def _published(place: Place) -> Place:
    return Place(place.replace("partial/", "files/"))


class MemoryBackups:
    """Copies in a dictionary."""

    def __init__(self) -> None:
        self.store = secrets.token_hex(16)
        self._kept: dict[UploadId, Upload] = {}

    async def begin(self, upload: Upload, *, durable: bool) -> None:  # noqa: ARG002
        """Keep a first copy of a record."""
        self._kept[upload.id] = upload

    async def keep(self, upload: Upload, *, durable: bool) -> None:  # noqa: ARG002
        """Keep a newer copy."""
        if (known := self._kept.get(upload.id)) is None:
            raise Missing(upload.id)
        if known != upload and (known.epoch, known.version) >= (upload.epoch, upload.version):
            raise Stale(upload.id)
        self._kept[upload.id] = upload

    async def kept(self, id: UploadId) -> Upload | None:
        """Give the copy, if there is one."""
        return self._kept.get(id)

    async def renew(self, upload: Upload, holds: Callable[[], bool]) -> None:  # noqa: ARG002
        """No other process has these copies."""
        self._kept[upload.id] = upload

    async def drop(self, id: UploadId) -> None:
        """Keep nothing of an upload any more."""
        self._kept.pop(id, None)

    async def probe(self) -> None:
        """There is always memory."""

    async def ids(self) -> AsyncIterator[UploadId]:
        """Give the ids of all uploads with copies."""
        for id_ in list(self._kept):
            yield id_


class MemoryBlobs:
    """Bytes in arrays."""

    def __init__(self) -> None:
        self.node = secrets.token_hex(8)
        self.backups = MemoryBackups()
        self._held: dict[Place, bytearray] = {}

    async def create(self, id: UploadId) -> Place:
        """Mint a place."""
        return Place(f"partial/{id}")

    @asynccontextmanager
    async def open(
        self,
        place: Place,
        at: int,
        holds: Callable[[], bool] = lambda: True,  # noqa: ARG002
    ) -> AsyncIterator[MemoryWriter]:
        """Open a place that holds at least `at` bytes."""
        if len(self._held.get(place, b"")) < at:
            raise Missing(place)
        yield MemoryWriter(self._held.setdefault(place, bytearray()))

    def _bytes(self, place: Place, length: int) -> bytearray:
        held = self._held.get(place)
        if held is None:
            held = self._held.get(_published(place))
        if held is None or len(held) < length:
            raise Missing(place)
        return held

    async def read(self, place: Place, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Give the bytes [start, stop)."""
        held = self._bytes(place, stop)
        for at in range(start, stop, READ_BLOCK):
            yield bytes(held[at : min(at + READ_BLOCK, stop)])

    @asynccontextmanager
    async def file(self, place: Place, length: int) -> AsyncIterator[None]:
        """Give none."""
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
        """Call `take` with the first bytes in order."""
        at = 0
        async for block in self.read(place, 0, length):
            take(block)
            at += len(block)
            yield at

    async def join(self, place: Place, parts: Sequence[tuple[Place, int]]) -> AsyncGenerator[int, None]:
        """Fill a place with the first bytes of each part."""
        joined = bytearray()
        for part, length in parts:
            async for block in self.read(part, 0, length):
                joined += block
                yield len(joined)
        self._held[place] = joined

    async def joining(self, lengths: Sequence[int]) -> int:
        """Give the sum: it is copied."""
        return sum(lengths)

    async def seal(
        self,
        place: Place,
        length: int,
        holds: Callable[[], bool] = lambda: True,  # noqa: ARG002
        *,
        told: bool = False,  # noqa: ARG002
        check: Callable[[], None] = lambda: None,  # noqa: ARG002
    ) -> Place:
        """Publish exactly `length` bytes."""
        final = _published(place)
        held = self._held.get(place) or self._held.get(final, bytearray())
        if len(held) < length:
            raise Missing(place)
        self._held[final] = held[:length]
        self._held.pop(place, None)
        return final

    async def fence(self, place: Place, length: int, node: str, holds: Callable[[], bool]) -> None:
        """No other process has these bytes."""

    async def room(self) -> None:
        """Nobody knows."""

    async def probe(self) -> None:
        """There is always memory."""

    async def sync(self, place: Place) -> None:
        """Nothing is more durable than memory here."""
        if place not in self._held and _published(place) not in self._held:
            raise Missing(place)

    async def remove(self, place: Place) -> None:
        """Remove a place, published or not."""
        name = place.rpartition("/")[2]
        for folder in ("partial", "files"):
            self._held.pop(Place(f"{folder}/{name}"), None)

    async def strays(self, before: float) -> AsyncIterator[tuple[Place, UploadId | None]]:  # noqa: ARG002
        """No crash leaves anything in memory."""
        nothing: tuple[tuple[Place, UploadId | None], ...] = ()
        for stray in nothing:
            yield stray

    async def close(self) -> None:
        """Forget everything."""
        self._held.clear()


async def open_blobs(_url: str, _data: Path, _durability: Durability, _shared: bool) -> MemoryBlobs:
    """Give an empty storage of bytes."""
    return MemoryBlobs()
