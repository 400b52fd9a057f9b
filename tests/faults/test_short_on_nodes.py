"""Short PATCHes of servers that share a folder: who is suspended in the middle, and wakes up too late, harms no file.

A is held at one point of its call, in its thread, and its lease is taken away in Redis. It still believes that it has
the lease, as one that is suspended right after its last look at the clock.
"""

import asyncio
import hashlib
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

import aiohttp
import pytest
import tus_requests as tus
from bodies import WholeBody
from onward_process import ROOT, OnwardProcess, onward
from redis_process import RedisProcess

from onward.protocol.model import AppendRequest, CreateRequest, Limits, Place, Status, Upload, UploadId
from onward.protocol.naming import parse_layout
from onward.server.uploads import sweep
from onward.server.uploads.engine import Engine
from onward.server.uploads.publishing import AS_IDS, Publishing
from onward.server.uploads.short_uploads import MemoryBody
from onward.storage import failpoints, open_storage
from onward.storage.base import Missing
from onward.storage.blobs.disk import DiskBlobs
from onward.storage.state.redis.keys import keys_of

DATA, OTHER = b"all of it", b"no, these"
ASKED = CreateRequest(length=len(DATA), metadata=None, promised=None, body_size=0, has_body=False)
ALL = AppendRequest(offset=0, length=None, promised=None, body_size=len(DATA))
POINTS = ("judged", "written", "synced", "sealing", "linking", "renamed", "sealed")
PATIENCE = 10.0
ASLEEP = str(ROOT / "tests" / "support" / "suspended_server.py")


class Nodes:
    """Two servers on one Redis and one folder, and a third view of it with a layout."""

    def __init__(self, a: Engine, b: Engine, laid: Engine, redis: RedisProcess, data: Path) -> None:
        self.a, self.b, self.laid, self.redis, self.data = a, b, laid, redis, data

    def names(self, id: UploadId) -> set[str]:
        return {
            str(path.relative_to(self.data))
            for folder in ("partial", "files")
            for path in (self.data / folder).rglob("*")
            if path.is_file() and id in path.name
        }

    def take_lease(self, id: UploadId) -> None:
        self.redis.command("DEL", keys_of(id).lease)


@pytest.fixture
async def nodes(redis_url: str, redis_process: RedisProcess, tmp_path: Path) -> AsyncIterator[Nodes]:
    a, b = [await open_storage(state=redis_url, blobs="file:", data=tmp_path / "data") for _ in range(2)]

    def engine(storage: object, publishing: Publishing = AS_IDS) -> Engine:
        return Engine(storage, Limits(), lease_wait=5, publishing=publishing)  # type: ignore[arg-type]

    laid = engine(b, Publishing(layout=parse_layout("a/{id}")))
    yield Nodes(engine(a), engine(b), laid, redis_process, tmp_path / "data")
    await a.close()
    await b.close()


class Held:
    """The first thread that comes to a point waits there until it is woken."""

    def __init__(self, point: str) -> None:
        self.point, self._there, self._go = point, threading.Event(), threading.Event()
        self._left = [True]

    def __call__(self, reached: str) -> None:
        """Wait, if this is the point."""
        if reached == self.point and self._left:
            self._left.clear()
            self._there.set()
            self._go.wait(PATIENCE)

    async def there(self) -> None:
        """Wait until a thread is held."""
        assert await asyncio.to_thread(self._there.wait, PATIENCE)

    def wake(self) -> None:
        """Let it go on."""
        self._go.set()


@contextmanager
def held_at(point: str) -> Iterator[Held]:
    held = Held(point)
    with patch.object(failpoints, "armed", held):
        try:
            yield held
        finally:
            held.wake()


def short(engine: Engine, id: UploadId, data: bytes) -> Awaitable[Upload]:
    return engine.append(id, ALL, MemoryBody(data, WholeBody(b"")))


async def pieces(engine: Engine, id: UploadId) -> None:
    first = AppendRequest(offset=0, length=None, promised=None, body_size=4)
    await engine.append(id, first, WholeBody(OTHER[:4]))
    rest = AppendRequest(offset=4, length=None, promised=None, body_size=len(OTHER) - 4)
    await engine.append(id, rest, WholeBody(OTHER[4:]))


async def in_short(nodes: Nodes, id: UploadId) -> None:
    await short(nodes.b, id, OTHER)


async def in_pieces(nodes: Nodes, id: UploadId) -> None:
    await pieces(nodes.b, id)


async def under_a_layout(nodes: Nodes, id: UploadId) -> None:
    await pieces(nodes.laid, id)


async def after_a_flush(nodes: Nodes, id: UploadId) -> None:
    nodes.redis.flush()
    await short(nodes.b, id, OTHER)


async def terminated(nodes: Nodes, id: UploadId) -> None:
    await nodes.b.terminate(id)


async def only_read(nodes: Nodes, id: UploadId) -> None:
    assert (await nodes.b.inspect(id)).offset == 0


WAYS = (in_short, in_pieces, under_a_layout, after_a_flush, terminated, only_read)


def check(nodes: Nodes, upload: Upload) -> None:
    """The file has the bytes that the record says."""
    assert (upload.status, upload.sha256) == (Status.COMPLETED, hashlib.sha256(OTHER).digest())
    assert (nodes.data / "files" / str(upload.path)).read_bytes() == OTHER


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_who_wakes_up_in_a_short_patch_changes_no_file_of_the_next_holder(
    nodes: Nodes, way: Callable[[Nodes, UploadId], Awaitable[None]]
) -> None:
    for point in POINTS:
        id_ = (await nodes.a.create(ASKED)).id
        with held_at(point) as held:
            late = asyncio.ensure_future(short(nodes.a, id_, DATA))
            await held.there()
            nodes.take_lease(id_)
            await way(nodes, id_)
            before = await nodes.b.records.load(id_)
            if before.status is Status.COMPLETED:
                check(nodes, before)
            held.wake()
            (answer,) = await asyncio.gather(late, return_exceptions=True)
            assert isinstance(answer, Exception), f"{point}: it was told that its bytes are stored"
        assert await nodes.b.records.load(id_) == before, f"{point}: the record was changed"
        if before.offset == 0 and not before.status.final:
            await in_short(nodes, id_)
            before = await nodes.b.records.load(id_)
        if before.status is Status.COMPLETED:
            check(nodes, before)
        else:
            await nodes.b.records.storage.state.forget(id_)
        with patch.object(sweep, "STRAY", -60.0):
            await nodes.b.sweep.tidy()
        left = nodes.names(id_) - {f"partial/{id_}"}  # which the slow path, taken too late, leaves until the end
        assert left == ({f"files/{before.path}"} if before.status is Status.COMPLETED else set()), point


@pytest.mark.parametrize("completed", [False, True], ids=["before its bytes", "after them"])
async def test_the_file_of_a_terminated_upload_that_comes_too_late_is_removed(nodes: Nodes, completed: bool) -> None:
    """Its client was told that it is removed, so it is not kept until the record goes, a week later."""
    id_ = (await nodes.a.create(ASKED)).id
    with held_at("linking") as held:
        late = asyncio.ensure_future(short(nodes.a, id_, DATA))
        await held.there()
        nodes.take_lease(id_)
        if completed:
            await in_short(nodes, id_)
        await nodes.b.terminate(id_)
        held.wake()
        (answer,) = await asyncio.gather(late, return_exceptions=True)
        assert isinstance(answer, Exception)
    assert f"files/{id_}" in nodes.names(id_)
    with patch.object(sweep, "STRAY", -60.0):
        await nodes.b.sweep.tidy()
    assert not nodes.names(id_)
    assert (await nodes.b.records.load(id_)).status is Status.TERMINATED


async def test_who_shuts_out_another_copies_no_file_that_nobody_has_recorded(nodes: Nodes) -> None:
    """It could be suspended before the copy gets the name, and wake up when there is another file."""
    blobs = nodes.a.records.storage.blobs
    assert isinstance(blobs, DiskBlobs)
    id_ = (await nodes.a.create(ASKED)).id
    await blobs.short.fill(id_, DATA, lambda _: None, lambda: True)
    published = nodes.data / "files" / id_
    before = published.stat()
    await blobs.fence(Place(f"partial/{id_}"), 0, lambda: True)
    assert published.stat().st_ino == before.st_ino


async def test_a_crash_between_the_name_and_the_record_leaves_a_file_that_goes(nodes: Nodes) -> None:
    blobs = nodes.a.records.storage.blobs
    assert isinstance(blobs, DiskBlobs)
    left = []
    for _ in range(5):
        id_ = (await nodes.a.create(ASKED)).id
        assert await blobs.short.fill(id_, DATA, lambda _: None, lambda: True) == f"files/{id_}"
        left.append(id_)
    again, usual, ended, open_, lost = left
    assert await blobs.short.fill(again, OTHER, lambda _: None, lambda: True) is None
    check(nodes, await short(nodes.a, again, OTHER))
    await in_pieces(nodes, usual)
    check(nodes, await nodes.b.records.load(usual))
    await nodes.b.terminate(ended)
    await in_pieces(nodes, lost)
    await nodes.b.records.storage.state.forget(lost)
    with patch.object(sweep, "STRAY", -60.0):
        await nodes.b.sweep.tidy()
    assert nodes.names(again) == {f"files/{again}"}
    assert nodes.names(usual) == {f"files/{usual}"}
    assert nodes.names(lost) == {f"files/{lost}"}, "a file that has no record, and no mark, was removed"
    assert len(nodes.names(open_)) == 2
    await nodes.b.records.storage.state.forget(open_)
    with patch.object(sweep, "STRAY", -60.0):
        await nodes.b.sweep.tidy()
    assert not nodes.names(open_)
    with pytest.raises(Missing):
        await nodes.b.records.load(open_)


async def test_a_file_that_nobody_has_recorded_is_not_taken_for_one_that_was_copied(nodes: Nodes) -> None:
    blobs = nodes.a.records.storage.blobs
    assert isinstance(blobs, DiskBlobs)
    id_ = (await nodes.a.create(ASKED)).id
    await blobs.short.fill(id_, DATA, lambda _: None, lambda: True)
    async with blobs.open(Place(f"partial/{id_}"), 0) as writer:
        writer.write(OTHER, 0)
    with patch.object(blobs._publishing, "rename", return_value=False):  # as if files/ was moved to another disk
        place = await blobs.seal(Place(f"partial/{id_}"), len(OTHER))
    assert (nodes.data / place).read_bytes() == OTHER


async def test_without_the_lease_no_file_gets_its_name(nodes: Nodes) -> None:
    id_ = (await nodes.a.create(ASKED)).id
    short_files = nodes.a.records.storage.blobs.short
    assert short_files is not None
    with pytest.raises(Exception, match=id_):
        await short_files.fill(id_, DATA, lambda _: None, lambda: False)
    assert not nodes.names(id_)


async def one_falls_asleep(b: OnwardProcess, redis_url: str, point: str, *, wakes: bool) -> None:
    """Let a server stop itself in a short PATCH, another one store other bytes, and the first wake up or be killed."""
    a = OnwardProcess(b.data, redis_url, program=(ASLEEP, f"{point}:1"))

    async def send(url: str, data: bytes) -> int:
        with suppress(aiohttp.ClientError):
            return (await tus.patch(http, url, 0, data)).status
        return 0

    try:
        async with aiohttp.ClientSession() as http:
            await a.start()
            url, data, other = await tus.create(http, a.url, 4096), os.urandom(4096), os.urandom(4096)
            name = url.rpartition("/")[2]
            there, file = f"{b.url}/{name}", b.data / "files" / name
            sending = asyncio.create_task(send(url, data))
            async with asyncio.timeout(PATIENCE):
                while not a.is_stopped():  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            if not wakes:
                await a.kill9()
            assert await tus.offset(http, there) == 0
            assert await send(there, other) == 204
            if wakes:
                a.process.send_signal(signal.SIGCONT)
            assert await asyncio.wait_for(sending, PATIENCE) in {0, 409, 423, 503}
            assert await tus.offset(http, there) == 4096
            async with http.get(f"{there}/progress") as answer:
                assert (await answer.json())["sha256"] == hashlib.sha256(other).hexdigest()
            assert file.read_bytes() == other, f"{point}: who was asleep changed the bytes"
    finally:
        if a.running:
            await a.kill9()


@pytest.mark.slow
async def test_a_server_that_stops_in_a_short_patch_harms_no_file_when_it_wakes_up_or_dies(
    tmp_path: Path, redis_url: str
) -> None:
    async with onward(tmp_path / "data", redis_url) as b, asyncio.TaskGroup() as all_:
        for point in ("linking", "renamed", "sealed"):
            all_.create_task(one_falls_asleep(b, redis_url, point, wakes=True))
        for point in ("linking", "sealed"):
            all_.create_task(one_falls_asleep(b, redis_url, point, wakes=False))
