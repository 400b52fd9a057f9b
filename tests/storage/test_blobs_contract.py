"""What every storage of bytes promises, the same over each implementation."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from math import inf
from pathlib import Path

import pytest
from msgspec.structs import replace
from test_state_contract import UPLOAD

from onward.protocol.model import Place, UploadId
from onward.storage import open_storage
from onward.storage.base import ANYONE, Blobs, Durability, Missing, Stale

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


def lost() -> bool:
    """Say that the lease is lost."""
    return False


async def test_nothing_changes_without_the_lease(blobs: Blobs) -> None:
    place = await blobs.create(ID)
    await write(blobs, place, 0, b"four")
    with pytest.raises(Stale):
        async with blobs.open(place, 4, lost) as writer:
            writer.write(b"more", 4)
    with pytest.raises(Stale):
        await blobs.seal(place, 4, lost)
    with pytest.raises(Stale):
        await blobs.fence(place, 4, ANYONE, lost)
    with pytest.raises(Missing):
        await content(blobs, place, 0, 5)
    assert await content(blobs, place, 0, 4) == b"four"


async def test_a_fenced_place_keeps_its_bytes_and_is_written_to_as_before(blobs: Blobs) -> None:
    place = await blobs.create(ID)
    await blobs.fence(place, 0, ANYONE, lambda: True)
    await write(blobs, place, 0, b"four")
    await blobs.fence(place, 4, ANYONE, lambda: True)
    await write(blobs, place, 4, b"!")
    with pytest.raises(Missing):
        await blobs.fence(place, 6, ANYONE, lambda: True)
    place = await blobs.seal(place, 5)
    await blobs.fence(place, 5, ANYONE, lambda: True)
    assert await content(blobs, place, 0, 5) == b"four!"


async def test_a_descriptor_has_the_bytes_if_there_is_one(blobs: Blobs) -> None:
    place = await blobs.create(ID)
    await write(blobs, place, 0, b"four")
    async with blobs.file(place, 4) as descriptor:
        assert descriptor is None or os.pread(descriptor, 4, 0) == b"four"
    with pytest.raises(Missing):
        async with blobs.file(place, 5):
            pass


async def test_strays_are_unfinished_places_that_are_old_enough(blobs: Blobs) -> None:
    place = await blobs.create(ID)
    await write(blobs, place, 0, b"four")
    assert [stray async for stray in blobs.strays(0)] == []
    assert [stray async for stray in blobs.strays(inf)] in ([], [(place, ID)])
    await blobs.seal(place, 4)
    assert [stray async for stray in blobs.strays(inf)] == []


async def test_a_store_that_works_passes_its_probe_and_has_room(blobs: Blobs) -> None:
    await blobs.probe()
    room = await blobs.room()
    assert room is None or room.arriving > 0


async def test_parts_that_fill_no_block_are_copied_when_they_are_joined(blobs: Blobs) -> None:
    assert await blobs.joined_size([5, 3]) == 8
    assert await blobs.joined_size([]) == 0


async def test_the_newest_backup_of_a_record_is_kept(blobs: Blobs) -> None:
    backups, newer = blobs.backups, replace(UPLOAD, version=UPLOAD.version + 1)
    assert backups.store
    assert await backups.kept(ID) is None
    with pytest.raises(Missing):
        await backups.keep(UPLOAD, durable=True)
    await backups.begin(UPLOAD, durable=True)
    await backups.keep(newer, durable=True)
    await backups.keep(newer, durable=False)
    with pytest.raises(Stale):
        await backups.keep(replace(newer, due=99.0), durable=True)
    with pytest.raises(Stale):
        await backups.renew(replace(newer, epoch=9), lost)
    assert await backups.kept(ID) == newer
    await backups.renew(replace(newer, epoch=9), lambda: True)
    assert await backups.kept(ID) == replace(newer, epoch=9)
    assert [id_ async for id_ in backups.ids()] == [ID]
    await backups.drop(ID)
    await backups.drop(ID)
    assert await backups.kept(ID) is None
    assert [id_ async for id_ in backups.ids()] == []
    await backups.probe()
