"""Long work of the sweep keeps nothing else waiting, and ends with the server."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from slow_body import SlowBody

from onward.protocol.checksums import ALGORITHMS
from onward.protocol.errors import Locked
from onward.protocol.model import AppendRequest, Concat, CreateRequest, Limits, Place, Role, Status, Upload, UploadId
from onward.server.uploads.completion import join
from onward.server.uploads.engine import Engine
from onward.server.uploads.hashing import RunningHash
from onward.storage import failpoints, open_storage
from onward.storage.base import Block
from onward.storage.blobs.disk import DiskBlobs

DATA = b"0123456789"
LIMITS = Limits(quiet_after=0.02, expire_after=0.3)


class Died(BaseException):
    """The process ends here."""


class Stall:
    """A disk that gives no bytes to hash until it is let go."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.let_go = asyncio.Event(), asyncio.Event()
        self._scan = engine.records.storage.blobs.scan
        monkeypatch.setattr(engine.records.storage.blobs, "scan", self._stalling)

    async def _stalling(
        self, place: Place, length: int, take: Callable[[Block], None], *, fresh: bool = False
    ) -> AsyncGenerator[int, None]:
        self.begun.set()
        await self.let_go.wait()
        async for at in self._scan(place, length, take, fresh=fresh):
            yield at


async def create(engine: Engine, concat: Concat | None = None) -> Upload:
    request = CreateRequest(
        length=None if concat and concat.parts else 10,
        metadata=None,
        promised=None,
        body_size=0,
        has_body=False,
        concat=concat,
    )
    return await engine.create(request)


async def append(engine: Engine, id_: UploadId, data: bytes, offset: int = 0) -> Upload:
    request = AppendRequest(offset=offset, length=None, promised=None, body_size=len(data))
    return await engine.append(id_, request, SlowBody([data]))


@asynccontextmanager
async def interrupted(folder: Path, kind: str) -> AsyncIterator[tuple[Engine, UploadId]]:
    """Give an engine, and an upload that a process before it has left when all bytes were there."""

    def die(name: str) -> None:
        if name in ("judged", "created"):
            raise Died

    storage = await open_storage(state="sqlite:", blobs="file:", data=folder)
    engine = Engine(storage, Limits(quiet_after=0.02), lease_wait=1)
    if kind == "verification":
        id_ = (await create(engine)).id
        failpoints.armed = die
        try:
            with suppress(Died):
                await append(engine, id_, DATA)
        finally:
            failpoints.armed = None
    else:
        parts = [await create(engine, Concat(role=Role.PARTIAL, told="partial")) for _ in range(2)]
        for part in parts:
            await append(engine, part.id, DATA)
        id_ = (await create(engine, Concat(role=Role.FINAL, told="final;", parts=tuple(each.id for each in parts)))).id
    await storage.close()
    storage = await open_storage(state="sqlite:", blobs="file:", data=folder)
    engine = Engine(storage, LIMITS, lease_wait=1)
    await asyncio.sleep(0.05)
    try:
        yield engine, id_
    finally:
        engine.stop()
        await engine.close()


@pytest.mark.parametrize("kind", ["verification", "join"])
async def test_other_uploads_are_paused_and_expired_beside_long_work(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with interrupted(tmp_path, kind) as (engine, id_), asyncio.timeout(30):
        stall = Stall(engine, monkeypatch)
        await engine.sweep.look()
        await stall.begun.wait()
        other = (await create(engine)).id
        await append(engine, other, DATA[:5])
        for status in (Status.PAUSED, Status.EXPIRED):
            while (await engine.records.load(other)).status is not status:
                await asyncio.sleep(0.05)
                await engine.sweep.look()
        assert (await engine.records.load(id_)).status is Status.VERIFYING
        stall.let_go.set()
        await engine.sweep.all()  # that of the command waits for all of it
        done = await engine.records.load(id_)
        assert done.status is Status.COMPLETED
        assert (tmp_path / "files" / id_).read_bytes() == DATA * (done.offset // 10)


async def test_a_stop_cuts_long_work_and_what_waits_for_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with interrupted(tmp_path, "verification") as (engine, id_), asyncio.timeout(30):
        stall = Stall(engine, monkeypatch)
        await engine.sweep.look()
        await stall.begun.wait()
        assert (id_ in engine.sweep.long, engine.running) == (True, 1)
        engine.stop()
        stall.let_go.set()
        await engine.sweep.long.over()
        assert (await engine.records.load(id_)).status is Status.VERIFYING
        assert engine.running == 0


async def test_the_end_of_the_sweep_ends_long_work_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with interrupted(tmp_path, "verification") as (engine, id_), asyncio.timeout(30):
        stall = Stall(engine, monkeypatch)
        await engine.sweep.look()
        await stall.begun.wait()
        ending = engine.sweep.cancel()
        assert len(ending) == 1
        await asyncio.wait(ending)
        assert (await engine.records.load(id_)).status is Status.VERIFYING


async def test_a_cancelled_join_is_cancelled_also_while_it_waits_for_its_hash(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path / "data")
    place = await blobs.create(UploadId("1" * 32))
    async with blobs.open(place, 0) as writer:
        writer.write(DATA, 0)
    part = Upload(
        id=UploadId("1" * 32), place=place, status=Status.COMPLETED, length=10, offset=10, metadata=None,
        promised=None, created=0.0, updated=0.0,
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    hashing, release = asyncio.Event(), threading.Event()

    class Slow(RunningHash):
        def take(self, block: Block) -> None:
            loop.call_soon_threadsafe(hashing.set)
            release.wait(20)

    def check() -> None:
        if hashing.is_set():
            raise Locked

    running = Slow(ALGORITHMS["sha256"].begin())
    joining = asyncio.create_task(join(blobs, await blobs.create(UploadId("2" * 32)), [part], running, check))
    await hashing.wait()
    await asyncio.sleep(0.3)  # so that it has seen that it is to end, and waits for the thread
    joining.cancel()
    await asyncio.sleep(0.1)
    release.set()
    await asyncio.wait({joining}, timeout=20)
    assert joining.cancelled()
    await blobs.close()
