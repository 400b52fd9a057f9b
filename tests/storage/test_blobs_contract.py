"""What every storage of bytes promises, the same over each implementation."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onward.protocol.model import Place, UploadId
from onward.storage import open_storage
from onward.storage.base import Blobs, Durability, Missing

ID = UploadId("0" * 32)


STORES = [("memory:", Durability.FULL), *(("file:", durability) for durability in Durability)]


@pytest.fixture(params=STORES, ids="".join)
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Blobs]:
    url, durability = request.param
    storage = await open_storage(state="memory:", blobs=url, data=tmp_path, durability=durability)
    yield storage.blobs
    await storage.close()


async def write(blobs: Blobs, place: Place, at: int, data: bytes) -> None:
    async with blobs.open(place, at) as writer:
        writer.write(data, at)
        await writer.sync()


async def content(blobs: Blobs, place: Place, start: int, stop: int) -> bytes:
    return b"".join([block async for block in blobs.read(place, start, stop)])


async def test_bytes_lie_where_they_were_written(blobs: Blobs) -> None:
    place = await blobs.create(ID)
    await write(blobs, place, 0, b"hello")
    await write(blobs, place, 5, b" world and more")
    await write(blobs, place, 11, b"!")
    assert await content(blobs, place, 0, 12) == b"hello world!"
    assert await content(blobs, place, 3, 8) == b"lo wo"


async def test_what_lies_after_a_position_is_removed(blobs: Blobs) -> None:
    place = await blobs.create(ID)
    await write(blobs, place, 0, b"hello world")
    async with blobs.open(place, 5) as writer:
        assert writer.trim(5) == 6
        assert writer.trim(5) == 0
        writer.write(b"!", 5)
    assert await content(blobs, place, 0, 6) == b"hello!"
    with pytest.raises(Missing):
        await content(blobs, place, 0, 7)


async def test_a_large_block_is_kept_whole(blobs: Blobs) -> None:
    place = await blobs.create(ID)
    data = bytes(range(256)) * 12345
    await write(blobs, place, 0, data)
    assert await content(blobs, place, 0, len(data)) == data
    assert await content(blobs, place, 1000, 3_000_000) == data[1000:3_000_000]


async def test_fewer_bytes_than_recorded_are_missing(blobs: Blobs) -> None:
    place = await blobs.create(ID)
    with pytest.raises(Missing):
        await write(blobs, place, 1, b"x")
    await write(blobs, place, 0, b"four")
    with pytest.raises(Missing):
        await write(blobs, place, 5, b"x")
    with pytest.raises(Missing):
        await content(blobs, place, 0, 5)
    with pytest.raises(Missing):
        await blobs.seal(place, 5)
    assert await content(blobs, place, 0, 4) == b"four"


async def test_a_seal_publishes_exactly_the_length_and_may_be_repeated(blobs: Blobs) -> None:
    place = await blobs.create(ID)
    await write(blobs, place, 0, b"the file, and a tail")
    sealed = await blobs.seal(place, 8)
    assert sealed != place
    assert await blobs.seal(place, 8) == sealed
    assert await content(blobs, sealed, 0, 8) == b"the file"
    assert await content(blobs, place, 0, 8) == b"the file", "a crash before the record must not lose what was sealed"
    with pytest.raises(Missing):
        await content(blobs, sealed, 0, 9)


async def test_a_place_without_bytes_can_be_sealed(blobs: Blobs) -> None:
    sealed = await blobs.seal(await blobs.create(ID), 0)
    assert await content(blobs, sealed, 0, 0) == b""


async def test_a_removed_place_is_missing_published_or_not(blobs: Blobs) -> None:
    place = await blobs.create(ID)
    await write(blobs, place, 0, b"four")
    await blobs.remove(place)
    await blobs.remove(place)
    with pytest.raises(Missing):
        await content(blobs, place, 0, 4)
    await write(blobs, place, 0, b"four")
    sealed = await blobs.seal(place, 4)
    await blobs.remove(sealed)
    with pytest.raises(Missing):
        await content(blobs, sealed, 0, 4)


async def test_parts_are_joined_in_order_and_again(blobs: Blobs) -> None:
    parts = [await blobs.create(UploadId(digit * 32)) for digit in "12"]
    await write(blobs, parts[0], 0, b"hello and a tail")
    await write(blobs, parts[1], 0, b" world")
    place = await blobs.create(ID)
    wanted = [(parts[0], 5), (parts[1], 6), (parts[0], 5)]
    for _ in range(2):
        assert [at async for at in blobs.join(place, wanted)][-1] == 16
    sealed = await blobs.seal(place, 16)
    assert await content(blobs, sealed, 0, 16) == b"hello worldhello"
    assert await content(blobs, parts[1], 0, 6) == b" world"
    with pytest.raises(Missing):
        [at async for at in blobs.join(place, [(parts[1], 7)])]


async def test_stored_bytes_are_scanned_in_order(blobs: Blobs) -> None:
    place = await blobs.create(ID)
    data = random.Random(7).randbytes(700_000)
    await write(blobs, place, 0, data + b"and a tail")
    seen = bytearray()
    assert [at async for at in blobs.scan(place, len(data), seen.extend)][-1] == len(data)
    assert seen == data
    assert [at async for at in blobs.scan(place, 0, seen.extend)] == []
    with pytest.raises(Missing):
        [at async for at in blobs.scan(place, len(data) + 11, seen.extend)]
    with pytest.raises(Missing):
        [at async for at in blobs.scan(await blobs.create(UploadId("9" * 32)), 1, seen.extend)]


async def test_a_place_is_synced(blobs: Blobs) -> None:
    place = await blobs.create(ID)
    with pytest.raises(Missing):
        await blobs.sync(place)
    await write(blobs, place, 0, b"four")
    await blobs.sync(place)


async def test_many_syncs_at_once_are_all_answered(blobs: Blobs) -> None:
    places = [await blobs.create(UploadId(f"{n:032x}")) for n in range(20)]
    await asyncio.gather(*(write(blobs, place, 0, b"four") for place in places))
    for place in places:
        assert await content(blobs, place, 0, 4) == b"four"
