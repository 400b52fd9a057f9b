"""A body is answered before all of it is hashed, and whatever happens then, the SHA-256 at the end is that of the bytes.

The hashing threads of these tests wait at a gate, so that it is certain what is hashed at each moment.
"""

import asyncio
import hashlib
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bodies import WholeBody

from onward.protocol.errors import BodyMismatch
from onward.protocol.model import AppendRequest, Checksum, CreateRequest, Licence, Limits, Place, Status, Upload
from onward.server.http.transport.socket_reader import SocketReader
from onward.server.uploads import sha256
from onward.server.uploads.body_writer import BodyThreads, BodyWriter
from onward.server.uploads.engine import Engine
from onward.server.uploads.hashing import HashQueue, RunningSha256
from onward.storage.base import Block, Full, Storage
from onward.storage.blobs.disk import DiskBlobs
from onward.storage.blobs.memory import MemoryBackups, MemoryNodes
from onward.storage.state.memory import MemoryState

CHUNK, CHUNKS = 100_000, 4  # bytes, more than a receiving thread hashes itself
DATA = bytes(range(256)) * (CHUNK * CHUNKS // 256 + 1)
DATA = DATA[: CHUNK * CHUNKS - 5]


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Hashing threads that wait until the gate is open."""
    event = threading.Event()

    class Gated(ThreadPoolExecutor):
        def submit(self, work: Any, /, *_: Any, **__: Any) -> Any:
            def gated() -> None:
                assert event.wait(10)
                work()

            return super().submit(gated)

    monkeypatch.setattr("onward.server.uploads.body_writer.ThreadPoolExecutor", Gated)
    yield event
    event.set()


class Lagging(WholeBody):
    """A body whose hash may lag, as that of one read from a socket."""

    async def pour(self, body_writer: BodyWriter, most: int, until: float) -> None:
        block = await self.block(most, until)

        def whole() -> None:
            try:
                body_writer.take(block)
            finally:
                body_writer.leave(lambda: None, ended=True)

        await body_writer.run(whole)


class Counting(DiskBlobs):
    """A folder that notes what was read again."""

    reads: list[tuple[int, int]]
    scanned = False  # whether a whole file was read again

    async def read(self, place: Place, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        if start < stop:
            self.reads.append((start, stop))
        async for block in super().read(place, start, stop):
            yield block

    async def scan(
        self, place: Place, length: int, take: Callable[[Block], None], *, fresh: bool = False
    ) -> AsyncGenerator[int, None]:
        self.scanned = True
        async for at in super().scan(place, length, take, fresh=fresh):
            yield at


class World:
    """Two servers on the same bytes and records."""

    def __init__(self, folder: Path) -> None:
        self.state, self.blobs = MemoryState(), Counting(folder)
        self.blobs.reads = []
        self.one, self.other = self.server(), self.server()

    def server(self) -> Engine:
        return Engine(
            Storage(state=self.state, blobs=self.blobs, nodes=MemoryNodes(), backups=MemoryBackups()),
            Limits(),
            lease_wait=1,
        )

    async def create(self) -> Upload:
        promised = hashlib.sha256(DATA).digest()
        request = CreateRequest(length=len(DATA), metadata=None, promised=promised, body_size=0, has_body=False)
        return await self.one.create(request)

    async def send(
        self, engine: Engine, upload: Upload, *, checksum: Checksum | None = None, wrong: bool = False
    ) -> Upload:
        data = DATA[upload.offset : upload.offset + CHUNK]
        body = Lagging(bytes(len(data)) if wrong else data)
        request = AppendRequest(
            offset=upload.offset, length=None, promised=None, body_size=len(data), checksum=checksum
        )
        return await asyncio.wait_for(engine.append(upload.id, request, body), 10)

    async def finish(self, upload: Upload) -> None:
        while upload.status is not Status.COMPLETED:
            upload = await self.send(self.one, upload)
        assert upload.sha256 == hashlib.sha256(DATA).digest()
        assert b"".join([block async for block in self.one.read(upload, 0, upload.offset)]) == DATA


def sha1(data: bytes) -> Checksum:
    return Checksum(algorithm="sha1", digest=hashlib.sha1(data, usedforsecurity=False).digest())


def hashed(upload: Upload) -> int | None:
    """Return how many bytes are in the saved hash."""
    return sha256.reached(upload.hashing)


async def test_a_chunk_is_answered_before_it_is_hashed_and_the_next_one_goes_on(
    tmp_path: Path, gate: threading.Event
) -> None:
    world = World(tmp_path)
    upload = await world.send(world.one, await world.create())
    assert (upload.offset, hashed(upload)) == (CHUNK, 0)
    upload = await world.send(world.one, upload)
    assert (upload.offset, hashed(upload)) == (2 * CHUNK, 0)
    gate.set()
    await world.finish(upload)
    typed, told = (0, 4096), (0, len(DATA))  # to find out the type of the file, and by this test
    assert world.blobs.reads == [typed, told]


async def test_another_server_reads_what_is_not_hashed_yet(tmp_path: Path, gate: threading.Event) -> None:
    world = World(tmp_path)
    upload = await world.send(world.one, await world.create())
    gate.set()
    upload = await world.send(world.other, upload)
    assert world.blobs.reads == [(0, CHUNK)]
    await world.finish(await world.send(world.other, upload))
    assert not world.blobs.scanned


async def test_a_hash_is_not_continued_if_another_server_has_recorded_more(
    tmp_path: Path, gate: threading.Event
) -> None:
    world = World(tmp_path)
    gate.set()
    upload = await world.send(world.one, await world.create())
    upload = await world.send(world.other, upload)
    await world.finish(upload)


async def test_a_body_with_a_checksum_waits_for_its_hash_and_a_wrong_one_takes_nothing_in(
    tmp_path: Path, gate: threading.Event
) -> None:
    world = World(tmp_path)
    asyncio.get_running_loop().call_later(0.1, gate.set)
    upload = await world.send(world.one, await world.create(), checksum=sha1(DATA[:CHUNK]))
    with pytest.raises(BodyMismatch):
        await world.send(world.one, upload, checksum=sha1(DATA[CHUNK : 2 * CHUNK]), wrong=True)
    await world.finish(upload)


async def test_a_hash_with_a_fault_is_not_continued(
    tmp_path: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    upload = await world.send(world.one, await world.create())

    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(RunningSha256, "take", fail)
        gate.set()
        await asyncio.sleep(0.1)
    upload = await world.send(world.one, upload)
    assert world.blobs.reads == [(0, CHUNK)]
    await world.finish(upload)


async def test_bytes_that_can_not_be_read_again_are_hashed_at_the_end(tmp_path: Path, gate: threading.Event) -> None:
    world = World(tmp_path)
    upload = await world.send(world.one, await world.create())
    gate.set()
    partial = tmp_path / upload.place
    data = partial.read_bytes()
    partial.write_bytes(b"")
    taken = await world.other._bodies._kept.take(upload)
    assert taken is None
    partial.write_bytes(data)
    await world.finish(await world.send(world.other, upload))


async def test_buffers_are_given_back_once_they_are_hashed(gate: threading.Event) -> None:
    threads, back = BodyThreads(), threading.Event()
    running = RunningSha256()
    queue = HashQueue(threads.hashing, running, lags=True)
    licence = Licence(start=0, end=2 * CHUNK, checksum=None)
    writer = BodyWriter(threads, lambda block, at: None, licence, [queue])

    def whole() -> None:
        writer.take(DATA[:CHUNK])
        writer.leave(back.set, ended=True)

    await writer.run(whole)
    assert not back.is_set()
    gate.set()
    await asyncio.to_thread(back.wait, 10)
    assert (back.is_set(), running.offset) == (True, CHUNK)
    threads.close()


async def test_after_a_fault_no_thread_works_on_the_hash(gate: threading.Event) -> None:
    loop, threads, running = asyncio.get_running_loop(), BodyThreads(), RunningSha256()

    def fail(block: Block, at: int) -> None:
        raise Full(at)

    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as peer:
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=listener.accept()[0])
        socket_reader = SocketReader(transport)
        socket_reader.begin(b"", CHUNK)
        peer.sendall(DATA[:CHUNK])
        queue = HashQueue(threads.hashing, running, lags=True)
        writer = BodyWriter(threads, fail, Licence(start=0, end=2 * CHUNK, checksum=None), [queue])
        loop.call_later(0.1, gate.set)
        with pytest.raises(Full):
            await writer.run(lambda: socket_reader.draw(writer, CHUNK, 1, lambda: False))
        assert running.offset == CHUNK
        socket_reader.close()
        transport.abort()
    threads.close()


def test_a_saved_hash_is_never_ahead_of_its_offset() -> None:
    running = RunningSha256()
    running.lag(2 * CHUNK)
    running.take(DATA[:CHUNK])
    assert sha256.reached(running.state(CHUNK + 1)) == CHUNK
    assert running.state(CHUNK - 1) is None
    assert running.state(3 * CHUNK + 1) is None
