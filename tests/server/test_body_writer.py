"""What threads do for a body: to its end, in order, and never beyond the licence."""

import asyncio
import hashlib
import os
import threading
from pathlib import Path

import pytest

from onward.protocol.errors import TooLarge
from onward.protocol.model import Licence, Place, UploadId
from onward.server.uploads import sha256
from onward.server.uploads.body_writer import BodyThreads, BodyWriter
from onward.server.uploads.hashing import HashQueue, RunningSha256
from onward.storage.base import Block, Full
from onward.storage.blobs.disk import DiskBlobs
from onward.storage.blobs.memory import MemoryWriter

ID = UploadId("1" * 32)
DATA = b"bytes of this upload"


def licence(start: int, end: int) -> Licence:
    return Licence(start=start, end=end, checksum=None)


async def test_what_is_let_in_is_hashed_and_stored_where_it_belongs() -> None:
    threads, running, stored = BodyThreads(), RunningSha256(), bytearray(len(DATA))

    def write(block: Block, at: int) -> None:
        stored[at : at + len(block)] = block

    body_writer = BodyWriter(threads, write, licence(0, len(DATA)), [HashQueue(threads.hashing, running)])
    for at in range(0, len(DATA), 7):
        await body_writer.put(DATA[at : at + 7])
    assert (body_writer.position, bytes(stored)) == (len(DATA), DATA)
    assert running.digest() == hashlib.sha256(DATA).digest()
    with pytest.raises(TooLarge):
        await body_writer.put(b"!")
    assert running.digest() == hashlib.sha256(DATA).digest()
    threads.close()


async def test_what_could_not_be_stored_does_not_count() -> None:
    threads = BodyThreads()

    def write(block: Block, at: int) -> None:
        if at:
            raise Full

    body_writer = BodyWriter(threads, write, licence(0, len(DATA)), [HashQueue(threads.hashing, RunningSha256())])
    await body_writer.put(DATA[:5])
    with pytest.raises(Full):
        await body_writer.put(DATA[5:])
    assert body_writer.position == 5
    threads.close()


async def test_a_cancelled_write_keeps_its_descriptor_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on, write = threading.Event(), threading.Event(), os.pwrite

    def slow(fd: int, block: bytes, at: int) -> int:
        began.set()
        assert go_on.wait(5)
        return write(fd, block, at)

    blobs, threads, licence = DiskBlobs(tmp_path), BodyThreads(), Licence(start=0, end=len(DATA), checksum=None)
    place = await blobs.create(ID)

    async def put() -> None:
        async with blobs.open(place, 0) as writer:
            await BodyWriter(threads, writer.write, licence, ()).put(DATA)

    monkeypatch.setattr(os, "pwrite", slow)
    task = asyncio.create_task(put())
    await asyncio.to_thread(began.wait, 5)
    task.cancel()
    await asyncio.sleep(0.05)
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)  # would get the number of a descriptor closed too early
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    os.close(other)
    assert (tmp_path / "other").read_bytes() == b""
    assert (tmp_path / place).read_bytes() == DATA
    await blobs.close()
    threads.close()


async def test_a_block_ends_where_the_store_wants_it_and_the_hash_there_is_remembered() -> None:
    threads, running, stored = BodyThreads(), RunningSha256(), MemoryWriter(Place("x"), 0, bytearray())
    running.remember()
    vars(stored)["boundary"] = 150_000
    data = os.urandom(400_000)
    body_writer = BodyWriter(
        threads, stored.write, licence(0, len(data)), [HashQueue(threads.hashing, running)], stored
    )
    for at in range(0, len(data), 100_000):
        await body_writer.put(memoryview(data)[at : at + 100_000])
    state = running.state(150_000)
    assert state is not None
    resumed = sha256.resumed(state, 150_000)
    assert resumed is not None
    resumed.update(data[150_000:])
    assert resumed.digest() == running.digest() == hashlib.sha256(data).digest()
    assert running.state(150_001) is None
    threads.close()
