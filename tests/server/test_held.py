"""Held uploads beside the engine: final ones without their parts, the clock, and what a check can read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from slow_body import SlowBody

from onward.protocol.errors import Unchecked
from onward.protocol.model import (
    AppendRequest,
    Concat,
    CreateRequest,
    Limits,
    Place,
    Role,
    Status,
    Upload,
    UploadId,
)
from onward.server.uploads.checks import HEAD, Content, Later
from onward.server.uploads.clock import Clock
from onward.server.uploads.engine import Engine
from onward.storage import open_storage
from onward.storage.base import ANYONE, Blobs, Lease, Storage

DATA = bytes(range(256)) * 40
LIMITS = Limits(quiet_after=0.02)


class Scanner:
    """A check that is down until it is let go, and the clock of its world."""

    def __init__(self) -> None:
        self.down, self.now = True, 1_000_000.0

    async def __call__(self, _upload: Upload, content: Content) -> None:
        """Read the file, or ask for a later time."""
        assert b"".join([block async for block in content.blocks()]) == 2 * DATA
        if self.down:
            raise Later(3600, "down")


def request(concat: Concat) -> CreateRequest:
    length = None if concat.parts else len(DATA)
    return CreateRequest(length=length, metadata=None, promised=None, body_size=0, has_body=False, concat=concat)


async def part(engine: Engine) -> UploadId:
    upload = await engine.create(request(Concat(role=Role.PARTIAL, told="partial")))
    wish = AppendRequest(offset=0, length=None, promised=None, body_size=len(DATA))
    return (await engine.append(upload.id, wish, SlowBody([DATA]))).id


async def held_final(engine: Engine) -> UploadId:
    """Join two parts, which are removed while the final upload is held."""
    parts = [await part(engine) for _ in range(2)]
    wish = request(Concat(role=Role.FINAL, told="final;", parts=tuple(parts)))
    final = await engine.create(wish)
    with pytest.raises(Unchecked):
        await engine.fill(final, wish, SlowBody([]))
    for id_ in parts:
        await engine.terminate(id_)
    return final.id


async def checked(engine: Engine, scanner: Scanner, id: UploadId) -> Upload:
    """Let the sweep ask the checks again, once it is time."""
    scanner.down, scanner.now = False, scanner.now + 3599
    await engine.sweep.all()
    assert (await engine.records.load(id)).status is Status.VERIFYING, "it is not time yet"
    scanner.now += 1
    await engine.sweep.all()
    return await engine.inspect(id)


@asynccontextmanager
async def opened(folder: Path, blobs: str = "file:") -> AsyncIterator[tuple[Storage, Engine, Scanner]]:
    storage, scanner = await open_storage(state="sqlite:", blobs=blobs, data=folder), Scanner()
    clock = Clock(lambda: scanner.now, lambda: scanner.now)
    engine = Engine(storage, LIMITS, lease_wait=1, clock=clock, checks=[scanner])
    try:
        yield storage, engine, scanner
    finally:
        engine.stop()
        await engine.close()


async def test_the_bytes_of_a_held_final_upload_are_synced_before_that_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as (storage, engine, _):
        done: list[tuple[str, object]] = []
        sync, save = storage.blobs.sync, storage.state.save

        async def noted_sync(place: Place) -> None:
            await sync(place)
            done.append(("synced", place))

        async def noted_save(upload: Upload, **more: Any) -> Upload:
            saved = await save(upload, **more)
            done.append(("held" if saved.held_until else str(saved.status), saved.place))
            return saved

        monkeypatch.setattr(storage.blobs, "sync", noted_sync)
        monkeypatch.setattr(storage.state, "save", noted_save)
        id_ = await held_final(engine)
        place = (await engine.records.load(id_)).place
        assert [word for word, of in done if of == place] == ["verifying", "synced", "held"]


@pytest.mark.parametrize("blobs", ["memory:", "file:"])
async def test_a_held_final_upload_is_published_without_its_parts(blobs: str, tmp_path: Path) -> None:
    async with opened(tmp_path, blobs) as (_, engine, scanner):
        id_ = await held_final(engine)
        done = await checked(engine, scanner, id_)
        assert done.status is Status.COMPLETED
        assert b"".join([block async for block in engine.read(done, 0, done.offset)]) == 2 * DATA


async def test_the_bytes_of_a_held_final_upload_are_kept_when_a_former_holder_is_fenced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as (storage, engine, scanner):
        id_ = await held_final(engine)
        hold = storage.state.hold

        @asynccontextmanager
        async def lost_before(id: UploadId, **more: Any) -> AsyncIterator[Lease]:
            async with hold(id, **more) as lease:
                yield Lease(id=lease.id, epoch=lease.epoch, left_by=ANYONE, holds=lease.holds, record=lease.record)

        monkeypatch.setattr(storage.state, "hold", lost_before)
        done = await checked(engine, scanner, id_)
        assert done.status is Status.COMPLETED
        assert (tmp_path / "files" / id_).read_bytes() == 2 * DATA


@pytest.mark.parametrize("kind", ["memory:", "file:"])
@pytest.mark.parametrize("size", [0, 10, HEAD, HEAD + 1, 300_000])
async def test_a_check_reads_what_is_stored(kind: str, size: int, tmp_path: Path) -> None:
    data = (DATA * 30)[:size]
    storage = await open_storage(state="memory:", blobs=kind, data=tmp_path)
    try:
        blobs: Blobs = storage.blobs
        place = await blobs.create(UploadId("0" * 32))
        if size:
            async with blobs.open(place, 0) as writer:
                writer.write(data + b"what a crash has left", 0)
        content = Content(blobs, place, size)
        assert await content.head() == data[:HEAD] == await content.head()
        assert b"".join([block async for block in content.blocks()]) == data
        assert b"".join([block async for block in content.blocks(5, min(9, size))]) == data[5:9]
        async with content.file() as descriptor:
            assert (descriptor is not None) == (kind == "file:" and size > 0)
            if descriptor is not None:
                with open(descriptor, "rb", closefd=False) as file:  # noqa: ASYNC230
                    assert file.read(size) == data
        early = Content(blobs, Place("nowhere"), 4, head=b"MZ..")
        assert await early.head() == b"MZ.."
    finally:
        await storage.close()
