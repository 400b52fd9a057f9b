"""A crash between the steps of the end: whoever comes next brings it to the same end."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from bodies import WholeBody
from slow_body import SlowBody

from onward.protocol.errors import Unavailable
from onward.protocol.model import AppendRequest, CreateRequest, Limits, Status, Upload
from onward.server.uploads.engine import Engine
from onward.storage import open_storage
from onward.storage.base import Unreachable

DATA = b"the whole file"


@pytest.mark.parametrize("blobs", ["memory:", "file:"])
@pytest.mark.parametrize("lost", [Status.VERIFYING, Status.COMPLETED])
async def test_a_lost_save_at_the_end_is_made_up_for(
    blobs: str, lost: Status, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = await open_storage(state="memory:", blobs=blobs, data=tmp_path)
    engine = Engine(storage, Limits(), lease_wait=1)
    creation = CreateRequest(length=len(DATA), metadata=None, promised=None, body_size=0, has_body=False)
    upload = await engine.create(creation)
    save = storage.state.save

    async def fail(record: Upload, **settings: Any) -> Upload:
        if record.status is lost:
            raise Unreachable
        return await save(record, **settings)

    request = AppendRequest(offset=0, length=None, promised=None, body_size=len(DATA))
    monkeypatch.setattr(storage.state, "save", fail)
    with pytest.raises(Unreachable):
        await engine.append(upload.id, request, WholeBody(DATA))
    monkeypatch.setattr(storage.state, "save", save)
    seen = await engine.inspect(upload.id)
    if lost is Status.VERIFYING:
        assert (seen.status, seen.offset) == (Status.PENDING, 0)
        seen = await engine.append(upload.id, request, WholeBody(DATA))
    assert seen.status is Status.COMPLETED
    assert b"".join([block async for block in engine.read(seen, 0, len(DATA))]) == DATA
    await engine.close()


async def test_the_end_of_a_body_can_be_the_end_of_the_upload(tmp_path: Path) -> None:
    storage = await open_storage(state="memory:", blobs="file:", data=tmp_path)
    engine = Engine(storage, Limits(), lease_wait=1)
    creation = CreateRequest(length=None, metadata=None, promised=None, body_size=0, has_body=False)

    def asked(offset: int) -> AppendRequest:
        return AppendRequest(offset=offset, length=None, promised=None, body_size=None, completes=True)

    upload = await engine.create(creation)
    with pytest.raises(Unavailable):
        await engine.append(upload.id, asked(0), SlowBody([DATA], Unavailable("cut")))
    cut = await engine.inspect(upload.id)
    assert (cut.status, cut.length, cut.offset) == (Status.PAUSED, None, len(DATA))
    done = cut
    for rest in (b"the rest", b""):  # the second one repeats a request whose reply was lost
        done = await engine.append(upload.id, asked(done.offset), WholeBody(rest))
        assert (done.status, done.length) == (Status.COMPLETED, len(DATA) + 8)
    assert b"".join([block async for block in engine.read(done, 0, done.offset)]) == DATA + b"the rest"
    empty = await engine.create(creation)
    empty = await engine.append(empty.id, asked(0), WholeBody(b""))
    assert (empty.status, empty.length) == (Status.COMPLETED, 0)
    await engine.close()


class _ToldBody(SlowBody):
    """A body whose client is told of each stride: only what is recorded at that moment."""

    def __init__(self, blocks: Sequence[bytes], engine: Engine) -> None:
        super().__init__(blocks)
        self._engine, self.told = engine, list[int]()

    async def block(self, size: int, until: float) -> bytes:
        await asyncio.sleep(0.3 if self.given else 0)  # a stride ends meanwhile
        return await super().block(size, until)

    async def tell(self, upload: Upload) -> None:
        assert (await self._engine.records.load(upload.id)).offset == upload.offset
        self.told.append(upload.offset)


async def test_a_client_is_told_during_its_body_only_what_is_recorded() -> None:
    engine = Engine(await open_storage(state="memory:", blobs="memory:", data=Path()), Limits(), lease_wait=1)
    creation = CreateRequest(length=None, metadata=None, promised=None, body_size=0, has_body=False)
    upload = await engine.create(creation)
    body = _ToldBody([DATA, DATA, DATA], engine)
    request = AppendRequest(offset=0, length=None, promised=None, body_size=None, completes=True)
    done = await engine.append(upload.id, request, body)
    assert (done.status, done.offset) == (Status.COMPLETED, 3 * len(DATA))
    assert body.told
    await engine.close()
