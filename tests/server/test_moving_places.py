"""Uploads over a store whose places move, that syncs late and pushes back: no acknowledged byte is ever lost.

After every durable step of the store, and after every saved record, the world is remembered as a crash would leave it.
Then a new server begins in each of these worlds, and has to finish the file.
"""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace as changed

import pytest
from moving_blobs import MOST, PIECE, MovingBlobs, moving_bytes
from slow_body import SlowBody

from onward.protocol.checksums import ALGORITHMS
from onward.protocol.errors import BodyMismatch, Unavailable
from onward.protocol.events import OutgoingEvent
from onward.protocol.model import (
    AppendRequest,
    Checksum,
    Concat,
    CreateRequest,
    Limits,
    Place,
    Role,
    Status,
    Upload,
    UploadId,
)
from onward.server.uploads.engine import Engine
from onward.server.uploads.hashing import RunningSha256
from onward.storage.base import ANYONE, Lease, Storage
from onward.storage.state.memory import MemoryState

LENGTH = 10 * PIECE + 123
LIMITS = Limits(expire_after=None)


class Record(MemoryState):
    """Records of which a copy is taken with each change."""

    def __init__(self, uploads: dict[UploadId, Upload] | None = None) -> None:
        super().__init__()
        self._uploads.update(uploads or {})
        self.changed: Callable[[], None] = lambda: None
        self.left = False  # whether each lease was left by a node that may be suspended

    def uploads(self) -> dict[UploadId, Upload]:
        """Return what would be found after a crash."""
        return dict(self._uploads)

    async def insert(
        self, upload: Upload, *, durable: bool = True, most: int | None = None, events: Sequence[OutgoingEvent] = ()
    ) -> None:
        """Record a new upload."""
        await super().insert(upload, durable=durable, most=most, events=events)
        self.changed()

    async def save(
        self, upload: Upload, *, durable: bool = True, events: Sequence[OutgoingEvent] = (), last: bool = False
    ) -> Upload:
        """Replace the record."""
        saved = await super().save(upload, durable=durable, events=events, last=last)
        self.changed()
        return saved

    @asynccontextmanager
    async def hold(self, id: UploadId, *, wait: float, on_rival: Callable[[], None]) -> AsyncIterator[Lease]:
        """Hold the lease, perhaps one that another node has left."""
        async with super().hold(id, wait=wait, on_rival=on_rival) as lease:
            yield changed(lease, left_by=ANYONE) if self.left else lease


class World:
    """A server on such a store; `crashes` are the worlds that a crash would have left."""

    def __init__(self, places: dict[Place, bytes] | None = None, uploads: dict[UploadId, Upload] | None = None) -> None:
        stored, self.state = moving_bytes(), Record(uploads)
        assert isinstance(stored.blobs, MovingBlobs)
        self.blobs = stored.blobs
        self.blobs.restore(places or {})
        storage = Storage(blobs=stored.blobs, backups=stored.backups, nodes=stored.nodes, state=self.state)
        self.engine = Engine(storage, LIMITS, lease_wait=1)
        self.crashes: list[tuple[dict[Place, bytes], dict[UploadId, Upload]]] = []
        self.blobs.changed = self.state.changed = self._remember

    def _remember(self) -> None:
        self.crashes.append((self.blobs.places(), self.state.uploads()))

    async def create(self, length: int | None, concat: Concat | None = None) -> Upload:
        """Create an upload."""
        request = CreateRequest(length=length, metadata=None, promised=None, body_size=0, has_body=False, concat=concat)
        return await self.engine.create(request)

    async def send(
        self, upload: Upload, blocks: Sequence[bytes], *, cut: bool = False, checksum: Checksum | None = None
    ) -> Upload:
        """Send one body; returns the record at its end."""
        request = AppendRequest(offset=upload.offset, length=None, promised=None, body_size=None, checksum=checksum)
        with suppress(Unavailable):
            await self.engine.append(upload.id, request, SlowBody(blocks, Unavailable("cut") if cut else None))
        return await self.engine.inspect(upload.id)

    async def content(self, upload: Upload) -> bytes:
        """Return the published file."""
        assert upload.status is Status.COMPLETED
        return b"".join([block async for block in self.engine.read(upload, 0, upload.offset)])


def in_blocks(data: bytes, dice: random.Random) -> list[bytes]:
    blocks: list[bytes] = []
    while data:
        size = dice.choice([1, 1000, PIECE - 1, PIECE, PIECE + 1, MOST, 3 * PIECE])
        blocks, data = [*blocks, data[:size]], data[size:]
    return blocks


def check(places: dict[Place, bytes], upload: Upload, data: bytes) -> None:
    """Check that a recorded offset has its bytes, and a recorded hash state its offset."""
    if upload.offset and not upload.status.final:
        held = places.get(upload.place, places.get(Place(f"files/{upload.id}"), b""))  # sealed, and not recorded yet
        assert held[: upload.offset] == data[: upload.offset]
        running = RunningSha256.of(upload)
        assert upload.hashing is None or running is not None, "a hash state that does not belong to its offset"
        assert running is None or running.digest() == hashlib.sha256(data[: upload.offset]).digest()


@pytest.mark.parametrize("seed", range(12))
async def test_a_crash_at_any_step_loses_nothing_that_was_recorded(seed: int) -> None:
    dice = random.Random(seed)
    data, world = dice.randbytes(LENGTH), World()
    world.state.left = left = dice.random() < 0.5
    upload = await world.create(LENGTH)
    while upload.status is not Status.COMPLETED:
        size = dice.choice([1, 5000, PIECE, 3 * PIECE + 5, LENGTH])
        body = data[upload.offset : upload.offset + size]
        before, cut = upload.offset, dice.random() < 0.5
        upload = await world.send(upload, in_blocks(body, dice), cut=cut)
        assert upload.offset == before + len(body), "all that arrived is durable at the end of a body"
    assert await world.content(upload) == data
    assert set(world.blobs.places()) == {upload.place}, "former places stay behind"
    crashes = world.crashes
    assert len(crashes) > 5
    for places, uploads in dice.sample(crashes, min(len(crashes), 12)):
        if upload.id not in uploads:
            continue
        check(places, uploads[upload.id], data)
        after = World(places, uploads)
        after.state.left = left
        resumed = await after.engine.inspect(upload.id)
        assert resumed.offset >= uploads[upload.id].offset
        if resumed.status is not Status.COMPLETED:
            resumed = await after.send(resumed, in_blocks(data[resumed.offset :], dice))
        assert await after.content(resumed) == data
        assert resumed.sha256 == hashlib.sha256(data).digest()
        assert set(after.blobs.places()) == {resumed.place}


async def test_a_stride_records_only_what_is_durable_and_no_hash_of_more() -> None:
    world, data = World(), random.Random(1).randbytes(LENGTH)
    upload = await world.create(LENGTH)
    await world.send(upload, [data[at : at + 10_000] for at in range(0, LENGTH - 15_000, 10_000)], cut=True)
    records = [uploads[upload.id] for _, uploads in world.crashes]
    middle = [each for each in records if each.offset and each.status is Status.UPLOADING]
    assert middle
    assert all(each.offset % PIECE == 0 for each in middle)
    assert any(each.hashing is None for each in middle), "no stride wrote more than was durable"
    for places, uploads in world.crashes:
        check(places, uploads[upload.id], data)
    assert records[-1].hashing is not None, "the end of a body has a hash of exactly its bytes"


async def test_a_wrong_body_changes_nothing_and_a_right_one_counts_as_a_whole() -> None:
    world, dice = World(), random.Random(2)
    data = dice.randbytes(LENGTH)
    upload = await world.send(await world.create(LENGTH), [data[:100_000]])
    announced = Checksum(algorithm="sha1", digest=hashlib.sha1(data[100_000:]).digest())
    assert "sha1" in ALGORITHMS
    with pytest.raises(BodyMismatch):
        await world.send(upload, in_blocks(bytes(LENGTH - 100_000), dice), checksum=announced)
    unchanged = await world.engine.inspect(upload.id)
    assert unchanged.offset == 100_000
    check(world.blobs.places(), unchanged, data)
    done = await world.send(unchanged, in_blocks(data[100_000:], dice), checksum=announced)
    assert await world.content(done) == data


async def test_parts_are_joined_from_the_places_that_their_records_name() -> None:
    world, dice = World(), random.Random(3)
    data = dice.randbytes(LENGTH)
    parts = []
    for start, stop in ((0, 200_000), (200_000, LENGTH)):
        part = await world.create(stop - start, Concat(role=Role.PARTIAL, told="partial"))
        middle = (start + stop) // 2
        part = await world.send(part, in_blocks(data[start:middle], dice), cut=True)
        parts.append(await world.send(part, in_blocks(data[middle:stop], dice)))
    concat = Concat(role=Role.FINAL, told="final", parts=tuple(part.id for part in parts))
    final = await world.create(None, concat)
    request = CreateRequest(length=None, metadata=None, promised=None, body_size=0, has_body=False, concat=concat)
    done = await world.engine.fill(final, request, SlowBody([]))
    assert await world.content(done) == data


async def test_a_rival_gets_all_that_the_former_holder_had_received() -> None:
    world, data = World(), random.Random(4).randbytes(LENGTH)
    upload = await world.create(LENGTH)
    body = SlowBody([])
    body.hang([data[:70_000], data[70_000:130_000]])
    request = AppendRequest(offset=0, length=None, promised=None, body_size=None)
    sending = asyncio.create_task(world.engine.append(upload.id, request, body))
    await body.hanging.wait()
    seen = await world.engine.inspect(upload.id)
    with suppress(Exception):
        await sending
    assert seen.offset == 130_000
    assert await world.content(await world.send(seen, [data[130_000:]])) == data


async def test_a_place_that_a_fence_has_moved_is_recorded_before_the_node_counts_as_fenced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, data = World(), random.Random(5).randbytes(1000)
    upload = await world.send(await world.create(1000), [data[:400]])
    world.state.left = True
    steps: list[str] = []
    fenced, fence = world.state.fenced, world.blobs.fence

    async def note_fenced(lease: Lease, record: Upload) -> None:
        steps.append(world.state.uploads()[upload.id].place)
        await fenced(lease, record)

    async def note_fence(place: Place, length: int, holds: Callable[[], bool]) -> Place:
        moved = await fence(place, length, holds)
        steps.append(moved)
        return moved

    monkeypatch.setattr(world.state, "fenced", note_fenced)
    monkeypatch.setattr(world.blobs, "fence", note_fence)
    async with world.engine.records.leased(upload.id, lambda: None) as record:
        assert record.place == steps[0] == steps[1] != upload.place
        assert record.offset == 400
    world.state.left = False
    assert await world.content(await world.send(await world.engine.inspect(upload.id), [data[400:]])) == data
