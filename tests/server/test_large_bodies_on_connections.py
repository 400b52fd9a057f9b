"""A large body that is received past aiohttp's requests: every rule of its connection, and its record."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from in_process_site import OCTETS, TUS, WITHIN, Site, head, served, until

from onward.protocol.model import Status, Upload, UploadId
from onward.server.http.app_keys import ENGINE
from onward.server.http.transport import body
from onward.server.http.transport.tcp import reset
from onward.server.uploads.engine import Engine
from onward.server.uploads.sha256 import reached
from onward.storage.base import Full, Stride
from onward.storage.blobs.disk import DiskBlobs
from onward.storage.state.sqlite import SqliteState

SIZE = 2**20
DATA = os.urandom(3 * SIZE)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with served(tmp_path, drain=WITHIN, lease_wait=5.0, durability="process") as site:
        yield site


def patch(path: str, offset: int, size: int = SIZE) -> bytes:
    """Write the head of a PATCH whose body is sent apart."""
    sized = f"Upload-Offset: {offset}\r\nContent-Length: {size}\r\n"
    return f"PATCH {path} HTTP/1.1\r\nHost: a\r\n{TUS}{OCTETS}{sized}\r\n".encode()


async def create(site: Site) -> str:
    return await site.create(f"Upload-Length: {len(DATA)}\r\n")


async def offset_of(site: Site, path: str) -> int:
    (answer,) = await site.ask(head(path))
    return int(answer.split(b"Upload-Offset: ")[1].split(b"\r\n")[0])


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WITHIN)


@pytest.fixture
def saved_here(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The offsets that receiving threads have recorded themselves."""
    offsets, real = list[int](), SqliteState.save_here

    def noted(self: Any, upload: Any, **named: Any) -> Any:
        take = real(self, upload, **named)
        if take is not None:
            offsets.append(upload.offset)
        return take

    monkeypatch.setattr(SqliteState, "save_here", noted)
    return offsets


async def test_chunks_follow_each_other_and_are_recorded_by_the_receiving_thread(
    site: Site, saved_here: list[int]
) -> None:
    path = await create(site)
    reader, writer = await asyncio.open_connection(*site.address)
    async with site.app[ENGINE].records.storage.state.subscribe(UploadId(path[-32:])) as messages:
        for at in range(0, len(DATA), SIZE):
            writer.write(patch(path, at) + DATA[at : at + SIZE])
            assert f"Upload-Offset: {at + SIZE}\r\n".encode() in await answer_of(reader)
            assert f'"uploadedBytes": {at + SIZE},' in (await asyncio.wait_for(anext(messages), WITHIN)).json
    writer.write(head(path))
    assert b"Upload-Offset: %d\r\n" % len(DATA) in await answer_of(reader)
    writer.close()
    assert site.received == 3
    assert saved_here == [SIZE, 2 * SIZE, 3 * SIZE]
    (file,) = (Path(site.app[ENGINE].records.storage.blobs._root) / "files").iterdir()  # type: ignore[attr-defined]
    assert file.read_bytes() == DATA


async def test_where_bytes_are_synced_first_no_receiving_thread_records_them(
    tmp_path: Path, saved_here: list[int]
) -> None:
    async with served(tmp_path, durability="full") as site:
        path = await create(site)
        reader, writer = await asyncio.open_connection(*site.address)
        writer.write(patch(path, 0) + DATA[:SIZE])
        assert b" 204 " in await answer_of(reader)
        writer.close()
        assert site.received == 1
    assert not saved_here


async def test_a_body_with_a_wrong_checksum_is_not_recorded(site: Site, saved_here: list[int]) -> None:
    path = await create(site)
    reader, writer = await asyncio.open_connection(*site.address)
    summed = b"Upload-Checksum: sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
    writer.write(patch(path, 0)[:-2] + summed + DATA[:SIZE])
    assert b" 460 " in await answer_of(reader)
    writer.close()
    assert not saved_here
    assert await offset_of(site, path) == 0


@pytest.mark.parametrize("how", ["finish", "reset"])
async def test_what_has_arrived_before_the_connection_was_lost_is_recorded(
    site: Site, how: str, saved_here: list[int]
) -> None:
    path = await create(site)
    _, writer = await asyncio.open_connection(*site.address)
    writer.write(patch(path, 0) + DATA[: SIZE // 2])
    await writer.drain()
    await until(lambda: site.app[ENGINE].arrived(UploadId(path[-32:])) == SIZE // 2)
    if how == "finish":
        writer.close()
    else:
        assert isinstance(writer.transport, asyncio.Transport)
        reset(writer.transport)
    await until(lambda: not site.limits.tasks and not site.connections())
    assert await offset_of(site, path) == SIZE // 2
    assert not saved_here


async def test_a_client_that_leaves_before_its_first_byte_ends_the_wait_for_the_lease(site: Site) -> None:
    path = await create(site)
    async with site.app[ENGINE].records.leased(UploadId(path[-32:]), lambda: None):
        _, writer = await asyncio.open_connection(*site.address)
        writer.write(patch(path, 0))
        await until(lambda: bool(site.limits.tasks))
        writer.close()
        async with asyncio.timeout(2):
            await until(lambda: not site.limits.tasks)
    assert await offset_of(site, path) == 0


async def test_a_rival_ends_it_and_both_are_answered(site: Site) -> None:
    path = await create(site)
    reader, writer = await asyncio.open_connection(*site.address)
    writer.write(patch(path, 0) + DATA[: SIZE // 2])
    await until(lambda: site.app[ENGINE].arrived(UploadId(path[-32:])) == SIZE // 2)
    assert await offset_of(site, path) == SIZE // 2
    assert b" 423 " in await answer_of(reader)
    writer.close()


async def test_a_stop_records_what_has_arrived_and_answers(tmp_path: Path) -> None:
    async with served(tmp_path, drain=WITHIN) as site:
        path = await create(site)
        reader, writer = await asyncio.open_connection(*site.address)
        writer.write(patch(path, 0) + DATA[: SIZE // 2])
        await until(lambda: site.app[ENGINE].arrived(UploadId(path[-32:])) == SIZE // 2)
        stopping = asyncio.create_task(site.stop())
        answer = await asyncio.wait_for(reader.read(), WITHIN)
        assert b" 503 " in answer, answer
        await asyncio.wait_for(stopping, WITHIN / 2)
        writer.close()
    async with served(tmp_path) as site:
        assert await offset_of(site, path) == SIZE // 2


async def test_without_a_descriptor_it_comes_from_the_stream_and_ends_with_its_connection(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(body, "SocketReader", none_left)
    path = await create(site)
    reader, writer = await asyncio.open_connection(*site.address)
    writer.write(patch(path, 0) + DATA[:SIZE])
    assert b" 204 " in await answer_of(reader)
    writer.write(patch(path, SIZE) + DATA[SIZE : SIZE + SIZE // 2])
    await until(lambda: site.app[ENGINE].arrived(UploadId(path[-32:])) > SIZE)
    writer.close()
    await until(lambda: not site.limits.tasks)
    upload = await site.app[ENGINE].records.load(UploadId(path[-32:]))
    assert SIZE < upload.offset <= SIZE + SIZE // 2
    assert upload.status is Status.PAUSED
    assert site.received == 1


async def test_a_refusal_is_that_of_the_usual_way_and_ends_the_connection(site: Site) -> None:
    path = await create(site)
    reader, writer = await asyncio.open_connection(*site.address)
    writer.write(patch(path, 5) + DATA[:SIZE])
    answer = await answer_of(reader)
    assert b" 409 " in answer
    assert b"Connection: close" in answer
    writer.close()
    assert await offset_of(site, path) == 0


@pytest.mark.parametrize("durability", ["full", "process"])
@pytest.mark.parametrize("full", [False, True])
async def test_a_stride_is_recorded_while_the_next_one_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str, full: bool
) -> None:
    monkeypatch.setattr(DiskBlobs, "stride", Stride(2**18, 0.25))
    saved, arrived, real = list[Upload](), list[int](), SqliteState.save
    engine: Engine

    async def slow(self: SqliteState, upload: Upload, **named: Any) -> Upload:
        await asyncio.sleep(0.05)
        if full and upload.status is Status.UPLOADING and len(saved) == 2:
            raise Full
        if upload.status is Status.UPLOADING:
            arrived.append(engine.arrived(upload.id))
            saved.append(upload)
        return await real(self, upload, **named)

    monkeypatch.setattr(SqliteState, "save", slow)
    async with served(tmp_path, durability=durability) as site:
        engine = site.app[ENGINE]
        path = await create(site)
        reader, writer = await asyncio.open_connection(*site.address)
        writer.write(patch(path, 0, len(DATA)) + DATA)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2 * WITHIN)
        assert b" 507 " in answer if full else b" 204 " in answer
        writer.close()
        offsets = [upload.offset for upload in saved]
        assert offsets == sorted(set(offsets))
        assert all(reached(upload.hashing) == upload.offset for upload in saved), "the hash belongs to the offset"
        assert any(there > offset for there, offset in zip(arrived, offsets, strict=True))
        assert await offset_of(site, path) == (offsets[1] if full else len(DATA))


async def test_a_record_that_the_thread_could_not_save_has_the_rate_of_the_whole_body(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteState, "save_here", lambda *_, **__: None)  # as if the connection were in use
    path = await create(site)
    reader, writer = await asyncio.open_connection(*site.address)
    writer.write(patch(path, 0) + DATA[: SIZE // 2])
    await until(lambda: site.app[ENGINE].arrived(UploadId(path[-32:])) == SIZE // 2)
    await asyncio.sleep(0.1)
    writer.write(DATA[SIZE // 2 : SIZE])
    assert b" 204 " in await answer_of(reader)
    writer.close()
    assert 0 < (await site.app[ENGINE].records.load(UploadId(path[-32:]))).rate < SIZE / 0.1
