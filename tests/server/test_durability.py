"""What is synced when, and what is lost with a machine that stopped while told bytes were in its memory only."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import tus_requests as tus
from aiohttp import ClientSession
from bodies import Poured
from onward_process import onward
from slow_body import SlowBody

from onward.protocol.errors import Gone, Refusal, StorageFull
from onward.protocol.model import AppendRequest, Checksum, CreateRequest, Limits, Status
from onward.server.uploads.engine import Engine
from onward.storage import open_storage
from onward.storage.base import Durability, Room, Stride

DATA = b"0123456789"


class Arriving(Poured):
    """A body that arrives at once."""

    over = False
    cut_by: Refusal | None = None

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def block(self, size: int, until: float) -> bytes:
        self.over = True
        return self._data

    def cut(self, why: Refusal) -> None:
        raise AssertionError(why)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the calls that sync, in their order."""
    calls: list[str] = []
    for name in ("fsync", "fdatasync"):
        real = getattr(os, name)

        def call(fd: int, name: str = name, real: object = real) -> None:
            calls.append(name)
            assert callable(real)
            real(fd)

        monkeypatch.setattr(os, name, call)
    return calls


@asynccontextmanager
async def engine(data: Path, durability: Durability, boot: str = "first", quiet: float = 60) -> AsyncIterator[Engine]:
    storage = await open_storage(state="sqlite:", blobs="file:", data=data, durability=durability)
    running = Engine(storage, Limits(quiet_after=quiet), lease_wait=1, boot=boot)
    try:
        yield running
    finally:
        await running.close()


async def begun(running: Engine, length: int = len(DATA)) -> str:
    creation = CreateRequest(length=length, metadata=None, promised=None, body_size=0, has_body=False)
    upload = await running.create(creation)
    await append(running, upload.id, 0, DATA[:5])
    return upload.id


async def append(running: Engine, id_: object, offset: int, data: bytes) -> Status:
    request = AppendRequest(offset=offset, length=None, promised=None, body_size=len(data))
    return (await running.append(id_, request, Arriving(data))).status  # type: ignore[arg-type]


@asynccontextmanager
async def crashed(data: Path, durability: Durability) -> AsyncIterator[str]:
    """Give an upload whose server has died: nothing was settled."""
    storage = await open_storage(state="sqlite:", blobs="file:", data=data, durability=durability)
    running = Engine(storage, Limits(quiet_after=60), lease_wait=1, boot="first")
    id_ = await begun(running)
    await storage.close()
    yield id_


@pytest.mark.parametrize("durability", Durability)
async def test_bytes_are_synced_before_they_are_acknowledged_where_that_is_promised(
    tmp_path: Path, synced: list[str], durability: Durability
) -> None:
    async with engine(tmp_path, durability) as running:
        synced.clear()
        id_ = await begun(running)
        assert ("fdatasync" in synced) is not durability.relaxed
        synced.clear()
        assert await append(running, id_, 5, DATA[5:]) is Status.COMPLETED
        assert ("fsync" in synced) is (durability is not Durability.NONE), "published means durable"


@pytest.mark.parametrize("durability", Durability)
async def test_the_death_of_a_server_loses_nothing(tmp_path: Path, durability: Durability) -> None:
    async with crashed(tmp_path, durability) as id_, engine(tmp_path, durability) as running:
        assert (await running.inspect(id_)).offset == 5  # type: ignore[arg-type]
        assert await append(running, id_, 5, DATA[5:]) is Status.COMPLETED


@pytest.mark.parametrize("durability", Durability)
async def test_after_a_stop_of_the_machine_an_upload_is_as_acknowledged_or_lost(
    tmp_path: Path, durability: Durability
) -> None:
    async with crashed(tmp_path, durability) as id_, engine(tmp_path, durability, boot="second") as running:
        if durability.relaxed:
            with pytest.raises(Gone):
                await running.inspect(id_)  # type: ignore[arg-type]
            assert running.records.counts["lost"] == 1
        else:
            assert (await running.inspect(id_)).offset == 5  # type: ignore[arg-type]


async def test_a_silent_upload_is_made_durable_and_outlives_the_machine(tmp_path: Path, synced: list[str]) -> None:
    storage = await open_storage(state="sqlite:", blobs="file:", data=tmp_path, durability=Durability.PROCESS)
    running = Engine(storage, Limits(quiet_after=0.05), lease_wait=1, boot="first")
    id_ = await begun(running)
    await asyncio.sleep(0.1)
    synced.clear()
    assert await running.sweep.all() == 1
    assert synced, "the bytes and the folder are synced"
    assert await running.sweep.all() == 0
    await storage.close()
    async with engine(tmp_path, Durability.PROCESS, boot="second") as later:
        assert (await later.inspect(id_)).offset == 5  # type: ignore[arg-type]
        await append(later, id_, 5, DATA[5:7])
        record = await later.records.load(id_)  # type: ignore[arg-type]
        assert record.volatile == "second"


async def test_a_graceful_stop_makes_all_durable(tmp_path: Path) -> None:
    async with engine(tmp_path, Durability.PROCESS) as running:
        id_ = await begun(running)
    async with engine(tmp_path, Durability.PROCESS, boot="second") as later:
        assert (await later.inspect(id_)).offset == 5  # type: ignore[arg-type]


async def test_a_graceful_stop_settles_what_a_killed_process_has_left(tmp_path: Path) -> None:
    async with crashed(tmp_path, Durability.PROCESS) as id_, engine(tmp_path, Durability.PROCESS):
        pass
    async with engine(tmp_path, Durability.PROCESS, boot="second") as later:
        assert (await later.inspect(id_)).offset == 5  # type: ignore[arg-type]


async def test_a_graceful_stop_settles_the_others_beside_uploads_that_were_deleted(tmp_path: Path) -> None:
    async with engine(tmp_path, Durability.PROCESS) as running:
        ids = [await begun(running) for _ in range(12)]
        for id_ in ids[::2]:
            await running.terminate(id_)  # type: ignore[arg-type]
        assert running.records.unsettled == 6
    async with engine(tmp_path, Durability.PROCESS, boot="second") as later:
        for id_ in ids[1::2]:
            assert (await later.inspect(id_)).offset == 5  # type: ignore[arg-type]


async def test_a_graceful_stop_settles_the_others_beside_one_that_fails_in_any_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = True

    def fail_once(name: str) -> None:
        nonlocal failing
        if failing and name == "recorded":
            failing = False
            raise ZeroDivisionError

    async with engine(tmp_path, Durability.PROCESS) as running:
        ids = [await begun(running) for _ in range(6)]
        monkeypatch.setattr("onward.storage.failpoints.armed", fail_once)
    assert not failing
    async with engine(tmp_path, Durability.PROCESS, boot="second") as later:
        for id_ in ids:
            assert (await later.inspect(id_)).offset == 5  # type: ignore[arg-type]


async def test_the_bytes_of_a_lost_upload_stay_since_a_disk_may_come_back(tmp_path: Path) -> None:
    async with (
        crashed(tmp_path, Durability.PROCESS) as id_,
        engine(tmp_path, Durability.PROCESS, boot="second", quiet=0.02) as running,
    ):
        with pytest.raises(Gone):
            await running.inspect(id_)  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert await running.sweep.all() == 0
        assert (tmp_path / "partial" / id_).read_bytes() == DATA[:5]


async def test_an_upload_that_has_ended_is_not_looked_at_again_until_it_is_forgotten(tmp_path: Path) -> None:
    async with engine(tmp_path, Durability.PROCESS, quiet=0.02) as running:
        id_ = await begun(running)
        await running.terminate(id_)  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert await running.sweep.all() == 0


@pytest.mark.parametrize("durability", Durability)
async def test_each_policy_serves(http: ClientSession, tmp_path: Path, durability: Durability) -> None:
    async with onward(tmp_path / "data", "sqlite:", [f"--durability={durability}"]) as server:
        url = await tus.create(http, server.url, len(DATA))
        await tus.patch(http, url, 0, DATA[:5])
        await server.kill9()
        await server.start()
        assert await tus.offset(http, url) == 5
        assert (await tus.patch(http, url, 5, DATA[5:])).status == 204
        assert f"durability {durability}" in server.log()
        assert await server.stop() == 0


class Endless(Poured):
    """A body of unknown size."""

    over = False
    cut_by: Refusal | None = None

    async def block(self, size: int, until: float) -> bytes:
        return bytes(1000)

    def cut(self, why: Refusal) -> None:
        raise AssertionError(why)


async def test_a_body_of_unknown_size_leaves_the_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = 10_000

    async def shrinking() -> Room:
        nonlocal room
        room -= 1000
        return Room(arriving=room)

    monkeypatch.setattr("onward.storage.blobs.disk.DiskBlobs.stride", Stride(1000, 1.0))
    monkeypatch.setattr("onward.server.uploads.reserve.ROOM_STAYS", -1.0)
    monkeypatch.setattr("onward.server.uploads.reserve.BLOCK", 0)
    storage = await open_storage(state="sqlite:", blobs="file:", data=tmp_path)
    monkeypatch.setattr(storage.blobs, "room", shrinking)
    running = Engine(storage, Limits(reserve=5000), lease_wait=1)
    creation = CreateRequest(length=None, metadata=None, promised=None, body_size=0, has_body=False)
    upload = await running.create(creation)
    request = AppendRequest(offset=0, length=None, promised=None, body_size=None)
    with pytest.raises(StorageFull):
        await running.append(upload.id, request, Endless())
    assert 0 < (await running.inspect(upload.id)).offset <= 5000
    await running.close()


@pytest.mark.parametrize(
    ("blocks", "length", "checksum", "stored"),
    [
        ([b"12345", b"67890!"], None, None, 5),
        ([b"12345"], 5, Checksum(algorithm="sha1", digest=bytes(20)), 5),
        ([b"12345", b"67890"], 10, None, 10),
    ],
    ids=["too long", "wrong checksum", "whole"],
)
async def test_stored_bytes_are_counted_whatever_comes_of_their_body(
    blocks: list[bytes], length: int | None, checksum: Checksum | None, stored: int, tmp_path: Path
) -> None:
    async with engine(tmp_path, Durability.FULL) as running:
        creation = CreateRequest(length=10, metadata=None, promised=None, body_size=0, has_body=False)
        upload = await running.create(creation)
        request = AppendRequest(offset=0, length=None, promised=None, body_size=length, checksum=checksum)
        with suppress(Refusal):
            await running.append(upload.id, request, SlowBody(blocks))
        assert running.received == stored
