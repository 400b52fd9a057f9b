"""What every storage of bytes promises, the same over each implementation, and over one whose places move."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from math import inf
from pathlib import Path

import pytest
from moving_blobs import moving_bytes
from msgspec.structs import replace
from s3_process import s3_bytes
from test_state_contract import UPLOAD

from onward.protocol.model import Place, UploadId
from onward.storage import open_storage
from onward.storage.base import ANYONE, Blobs, BlobStore, BlobWriter, Durability, Missing, Stale, StoredBytes, is_staged
from onward.storage.blobs.memory import MemoryBlobs

ID = UploadId("0" * 32)


S3 = ("seaweedfs:", "versitygw:")
STORES = [
    ("memory:", Durability.FULL),
    ("moving:", Durability.FULL),
    *(("file:", durability) for durability in Durability),
    ("seaweedfs:", Durability.FULL),
    ("versitygw:", Durability.FULL),
]


@pytest.fixture(params=STORES, ids="".join)
async def stored(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoredBytes]:
    url, durability = request.param
    if url == "moving:":
        yield moving_bytes()
        return
    if url in S3:
        server = request.getfixturevalue(url.removesuffix(":"))
        async with s3_bytes(server, server.new_bucket(), tmp_path) as opened:
            yield opened
        return
    storage = await open_storage(state="memory:", blobs=url, data=tmp_path, durability=durability)
    yield storage
    await storage.close()


@pytest.fixture
def blobs(stored: StoredBytes) -> BlobStore:
    return stored.blobs


async def put(writer: BlobWriter, block: bytes, at: int) -> None:
    """Write a block as soon as the writer takes it."""
    if writer.full:
        await writer.drained()
        assert not writer.full
    writer.write(block, at)


async def write(blobs: Blobs, place: Place, at: int, data: bytes) -> Place:
    """Write one body in blocks, as the server does; returns the place that counts afterwards."""
    async with blobs.open(place, at) as writer:
        for start in range(0, len(data), 100_000):
            await put(writer, data[start : start + 100_000], at + start)
        assert await writer.sync(ended=True) == at + len(data)
        return writer.place


async def content(blobs: Blobs, place: Place, start: int, stop: int) -> bytes:
    return b"".join([block async for block in blobs.read(place, start, stop)])


async def test_bytes_lie_where_they_were_written(blobs: BlobStore) -> None:
    place = await blobs.create(ID)
    place = await write(blobs, place, 0, b"hello")
    place = await write(blobs, place, 5, b" world and more")
    place = await write(blobs, place, 11, b"!")
    assert await content(blobs, place, 0, 12) == b"hello world!"
    assert await content(blobs, place, 3, 8) == b"lo wo"


async def test_what_lies_after_a_position_is_removed_or_takes_no_room(blobs: BlobStore) -> None:
    place = await write(blobs, await blobs.create(ID), 0, b"hello world")
    assert await blobs.trim(place, 5, lambda: True) in (6, 0)
    assert await blobs.trim(place, 5, lambda: True) == 0
    place = await write(blobs, place, 5, b"!")
    assert await content(blobs, place, 0, 6) == b"hello!"
    with pytest.raises(Missing):
        await content(blobs, place, 0, 7)


async def test_a_sync_says_up_to_where_the_bytes_are_durable(blobs: BlobStore) -> None:
    data = random.Random(3).randbytes(400_000)
    place = await blobs.create(ID)
    async with blobs.open(place, 0) as writer:
        assert await writer.sync() == 0
        durable = 0
        for at in range(0, len(data), 50_000):
            await put(writer, data[at : at + 50_000], at)
            reached = await writer.sync()
            assert durable <= reached <= at + 50_000
            durable, place = reached, writer.place
            assert await content(blobs, place, 0, durable) == data[:durable]
        assert await writer.sync(ended=True) == len(data)
        place = writer.place
    assert await content(blobs, place, 0, len(data)) == data


async def test_the_place_in_the_record_keeps_its_bytes_until_a_later_one_is_recorded(blobs: BlobStore) -> None:
    recorded = await write(blobs, await blobs.create(ID), 0, b"hello")
    async with blobs.open(recorded, 5) as writer:
        assert await content(blobs, writer.place, 0, 5) == b"hello"
        await put(writer, b" world", 5)
        await writer.sync(ended=True)
        later = writer.place
    assert await content(blobs, recorded, 0, 5) == b"hello", "a crash before the record"
    fenced = await blobs.fence(recorded, 5, lambda: True)
    assert await content(blobs, fenced, 0, 5) == await content(blobs, recorded, 0, 5) == b"hello"
    again = await write(blobs, fenced, 5, b", it is later")
    assert await content(blobs, again, 0, 18) == b"hello, it is later"
    await blobs.remove(again)
    for place in (recorded, later, fenced, again):
        with pytest.raises(Missing):
            await content(blobs, place, 0, 5)


def test_a_store_states_its_stride(blobs: BlobStore) -> None:
    assert blobs.stride.bytes > 0
    assert blobs.stride.seconds > 0


async def test_a_large_block_is_kept_whole(blobs: BlobStore) -> None:
    place = await blobs.create(ID)
    data = bytes(range(256)) * 12345
    place = await write(blobs, place, 0, data)
    assert await content(blobs, place, 0, len(data)) == data
    assert await content(blobs, place, 1000, 3_000_000) == data[1000:3_000_000]


async def test_fewer_bytes_than_recorded_are_missing(blobs: BlobStore) -> None:
    place = await blobs.create(ID)
    with pytest.raises(Missing):
        await write(blobs, place, 1, b"x")
    place = await write(blobs, place, 0, b"four")
    with pytest.raises(Missing):
        await write(blobs, place, 5, b"x")
    with pytest.raises(Missing):
        await content(blobs, place, 0, 5)
    with pytest.raises(Missing):
        await blobs.seal(place, 5)
    assert await content(blobs, place, 0, 4) == b"four"


async def test_a_seal_publishes_exactly_the_length_and_may_be_repeated(blobs: BlobStore) -> None:
    place = await blobs.create(ID)
    place = await write(blobs, place, 0, b"the file, and a tail")
    sealed = await blobs.seal(place, 8)
    assert sealed != place
    assert await blobs.seal(place, 8) == sealed
    assert await content(blobs, sealed, 0, 8) == b"the file"
    assert await content(blobs, place, 0, 8) == b"the file", "a crash before the record must not lose what was sealed"
    with pytest.raises(Missing):
        await content(blobs, sealed, 0, 9)


async def test_a_place_without_bytes_can_be_sealed(blobs: BlobStore) -> None:
    sealed = await blobs.seal(await blobs.create(ID), 0)
    assert await content(blobs, sealed, 0, 0) == b""


async def test_a_removed_place_is_missing_published_or_not(blobs: BlobStore) -> None:
    place = await blobs.create(ID)
    place = await write(blobs, place, 0, b"four")
    await blobs.remove(place)
    await blobs.remove(place)
    with pytest.raises(Missing):
        await content(blobs, place, 0, 4)
    place = await write(blobs, place, 0, b"four")
    sealed = await blobs.seal(place, 4)
    await blobs.remove(sealed)
    with pytest.raises(Missing):
        await content(blobs, sealed, 0, 4)


async def test_parts_are_joined_in_order_and_again(blobs: BlobStore) -> None:
    parts = [await blobs.create(UploadId(digit * 32)) for digit in "12"]
    parts = [
        await write(blobs, part, 0, data) for part, data in zip(parts, (b"hello and a tail", b" world"), strict=True)
    ]
    place = await blobs.create(ID)
    wanted = [(parts[0], 5), (parts[1], 6), (parts[0], 5)]
    for _ in range(2):
        assert [at async for at in blobs.join(place, wanted)][-1] == 16
    sealed = await blobs.seal(place, 16)
    assert await content(blobs, sealed, 0, 16) == b"hello worldhello"
    assert await content(blobs, parts[1], 0, 6) == b" world"
    with pytest.raises(Missing):
        [at async for at in blobs.join(place, [(parts[1], 7)])]


async def test_stored_bytes_are_scanned_in_order(blobs: BlobStore) -> None:
    place = await blobs.create(ID)
    data = random.Random(7).randbytes(700_000)
    place = await write(blobs, place, 0, data + b"and a tail")
    seen = bytearray()
    assert [at async for at in blobs.scan(place, len(data), seen.extend)][-1] == len(data)
    assert seen == data
    assert [at async for at in blobs.scan(place, 0, seen.extend)] == []
    with pytest.raises(Missing):
        [at async for at in blobs.scan(place, len(data) + 11, seen.extend)]
    with pytest.raises(Missing):
        [at async for at in blobs.scan(await blobs.create(UploadId("9" * 32)), 1, seen.extend)]


async def test_a_place_is_synced(blobs: BlobStore) -> None:
    place = await blobs.create(ID)
    with pytest.raises(Missing):
        await blobs.sync(place)
    place = await write(blobs, place, 0, b"four")
    await blobs.sync(place)


async def test_many_syncs_at_once_are_all_answered(blobs: BlobStore) -> None:
    places = [await blobs.create(UploadId(f"{n:032x}")) for n in range(20)]
    for place in await asyncio.gather(*(write(blobs, place, 0, b"four") for place in places)):
        assert await content(blobs, place, 0, 4) == b"four"


def lost() -> bool:
    """Say that the lease is lost."""
    return False


async def test_nothing_changes_without_the_lease(blobs: BlobStore) -> None:
    place = await blobs.create(ID)
    place = await write(blobs, place, 0, b"four")
    with pytest.raises(Stale):
        async with blobs.open(place, 4, lost) as writer:
            await put(writer, b"more", 4)
    with pytest.raises(Stale):
        await blobs.seal(place, 4, lost)
    with pytest.raises(Stale):
        await blobs.fence(place, 4, lost)
    with pytest.raises(Stale):
        await blobs.trim(place, 2, lost)
    with pytest.raises(Missing):
        await content(blobs, place, 0, 5)
    assert await content(blobs, place, 0, 4) == b"four"


async def test_a_fenced_place_keeps_its_bytes_and_is_written_to_as_before(blobs: BlobStore) -> None:
    place = await blobs.fence(await blobs.create(ID), 0, lambda: True)
    place = await write(blobs, place, 0, b"four")
    place = await blobs.fence(place, 4, lambda: True)
    place = await write(blobs, place, 4, b"!")
    with pytest.raises(Missing):
        await blobs.fence(place, 6, lambda: True)
    place = await blobs.seal(place, 5)
    assert await blobs.fence(place, 5, lambda: True) == place
    assert await content(blobs, place, 0, 5) == b"four!"


async def test_a_former_holder_writes_nothing_to_a_fenced_place(blobs: BlobStore) -> None:
    place = await write(blobs, await blobs.create(ID), 0, b"four")
    async with blobs.open(place, 4) as asleep:
        await put(asleep, b"more", 4)
        await asleep.sync()
        fenced = await blobs.fence(place, 4, lambda: True)
        if not isinstance(blobs, MemoryBlobs):  # one process has its memory to itself: nobody there was ever suspended
            at = 0 if asleep.boundary is None else 8  # a store of parts takes bytes in their order only
            await put(asleep, b"~~~~~~~~", at)
            await asleep.sync(ended=True)
        assert await content(blobs, fenced, 0, 4) == b"four"


async def test_a_descriptor_has_the_bytes_if_there_is_one(blobs: BlobStore) -> None:
    place = await blobs.create(ID)
    place = await write(blobs, place, 0, b"four")
    async with blobs.file(place, 4) as descriptor:
        assert descriptor is None or os.pread(descriptor, 4, 0) == b"four"
    with pytest.raises(Missing):
        async with blobs.file(place, 5):
            pass


async def test_strays_are_unfinished_places_that_are_old_enough(blobs: BlobStore) -> None:
    place = await blobs.create(ID)
    place = await write(blobs, place, 0, b"four")
    assert [stray async for stray in blobs.strays(0)] == []
    assert [stray async for stray in blobs.strays(inf)] in ([], [(place, ID)])
    await blobs.seal(place, 4)
    assert [stray async for stray in blobs.strays(inf)] == []


async def test_a_store_that_works_passes_its_probe_and_has_room(blobs: BlobStore) -> None:
    await blobs.probe()
    room = await blobs.room()
    assert room is None or room.arriving > 0


async def test_parts_that_fill_no_block_are_copied_when_they_are_joined(blobs: BlobStore) -> None:
    assert await blobs.joined_size([5, 3]) == 8
    assert await blobs.joined_size([]) == 0


async def test_equal_files_may_share_their_room_and_each_stays_whole(blobs: BlobStore) -> None:
    data, places = random.Random(1).randbytes(300_000), []
    for id_ in (ID, OTHER):
        place = await write(blobs, await blobs.create(id_), 0, data)
        places.append(await blobs.seal(place, len(data)))
    steps: list[None] = []
    assert await blobs.share(places[1], places[0], len(data), lambda: steps.append(None)) == bool(steps)
    await blobs.remove(places[0])
    assert await content(blobs, places[1], 0, len(data)) == data
    with pytest.raises(Missing):
        await blobs.share(places[1], places[0], len(data))
    assert await content(blobs, places[1], 0, len(data)) == data


async def test_the_newest_backup_of_a_record_is_kept(stored: StoredBytes) -> None:
    backups, newer = stored.backups, replace(UPLOAD, version=UPLOAD.version + 1)
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


async def test_the_name_of_a_node_is_its_own_and_it_is_alive(stored: StoredBytes) -> None:
    assert stored.nodes.name
    assert not await stored.nodes.is_dead(stored.nodes.name)
    assert not await stored.nodes.is_dead(ANYONE)
    await stored.nodes.is_dead("0123456789abcdef")  # not every store can know that there is no such node
    await stored.nodes.probe()


async def staged(blobs: Blobs, id: UploadId, path: str, data: bytes) -> Place:
    """Write a whole file and stage it for a path."""
    place = await blobs.create(id)
    if data:
        place = await write(blobs, place, 0, data + b" and a tail")
    return await blobs.stage(place, len(data), path)


OTHER = UploadId("1" * 32)


@pytest.mark.parametrize("data", [b"four", b""])
async def test_a_staged_file_is_published_at_its_path_and_may_be_again(blobs: BlobStore, data: bytes) -> None:
    place = await staged(blobs, ID, "2026/11/a.pdf", data)
    assert is_staged(place)
    assert await blobs.stage(place, len(data), "elsewhere.pdf") == place, "it has its path for good"
    assert await content(blobs, place, 0, len(data)) == data
    sealed = await blobs.seal(place, len(data))
    assert sealed.partition("//")[0] == "files/2026/11/a.pdf"
    for again in (place, sealed):
        assert await blobs.seal(again, len(data)) == sealed
        assert await content(blobs, again, 0, len(data)) == data
        await blobs.sync(again)
        async with blobs.file(again, len(data)) as descriptor:
            assert descriptor is None or os.pread(descriptor, 9, 0) == data
    with pytest.raises(Missing):
        async with blobs.file(sealed, len(data) + 1):
            pass
    assert [at async for at in blobs.scan(sealed, len(data), lambda _: None)][-1:] == [len(data)][: len(data)]
    assert [stray async for stray in blobs.strays(inf)] == []
    await blobs.remove(sealed)
    for gone in (place, sealed):
        with pytest.raises(Missing):
            async with blobs.file(gone, len(data)):
                pass


async def test_a_path_that_is_taken_is_never_overwritten(blobs: BlobStore) -> None:
    places = [await staged(blobs, UploadId(f"{n:x}" * 32), "a.tar.gz", b"%d" % n) for n in range(4)]
    sealed = [await blobs.seal(place, 1) for place in places]
    paths = [place.partition("//")[0] for place in sealed]
    assert paths == ["files/a.tar.gz", *(f"files/a-{n * 8}.tar.gz" for n in "123")]
    assert [await content(blobs, place, 0, 1) for place in sealed] == [b"0", b"1", b"2", b"3"]
    await blobs.remove(sealed[0])
    assert [await content(blobs, place, 0, 1) for place in sealed[1:]] == [b"1", b"2", b"3"]


async def test_the_name_of_another_upload_and_a_file_in_the_way_of_a_folder_are_avoided(blobs: BlobStore) -> None:
    taken = await blobs.seal(await staged(blobs, ID, OTHER, b"mine"), 4)
    assert taken.partition("//")[0] != f"files/{OTHER}"
    own = await blobs.seal(await write(blobs, await blobs.create(OTHER), 0, b"other"), 5)
    assert own == f"files/{OTHER}"
    assert await content(blobs, taken, 0, 4) == b"mine"
    await blobs.seal(await staged(blobs, UploadId("2" * 32), "a", b"file"), 4)
    below = await blobs.seal(await staged(blobs, UploadId("3" * 32), "a/b", b"below"), 5)
    assert await content(blobs, below, 0, 5) == b"below"


async def test_uploads_that_want_one_path_at_the_same_time_get_different_ones(blobs: BlobStore) -> None:
    places = [await staged(blobs, UploadId(f"{n:032x}"), "deep/er/same", b"%03d" % n) for n in range(20)]
    sealed = await asyncio.gather(*(blobs.seal(place, 3) for place in places))
    assert len(set(sealed)) == 20
    assert [await content(blobs, place, 0, 3) for place in sealed] == [b"%03d" % n for n in range(20)]


async def test_what_was_staged_is_removed_before_and_after_it_was_published(blobs: BlobStore) -> None:
    before = await staged(blobs, ID, "a", b"four")
    await blobs.remove(before)
    await blobs.remove(before)
    with pytest.raises(Missing):
        await blobs.seal(before, 4)
    first = await blobs.seal(await staged(blobs, OTHER, "a", b"mine"), 4)
    place = await staged(blobs, ID, "a", b"four")
    await blobs.seal(place, 4)
    await blobs.remove(place)  # its record does not name the published place yet
    assert await content(blobs, first, 0, 4) == b"mine"
    with pytest.raises(Missing):
        await content(blobs, place, 0, 4)
    assert [stray async for stray in blobs.strays(inf)] == []


async def test_a_staged_file_that_is_fenced_is_published_as_before(blobs: BlobStore) -> None:
    place = await blobs.fence(await staged(blobs, ID, "a", b"four"), 4, lambda: True)
    sealed = await blobs.seal(place, 4)
    place = await blobs.fence(place, 4, lambda: True)  # published, and not recorded
    again = await blobs.seal(place, 4)
    assert again.partition("//")[0] == sealed.partition("//")[0] == "files/a"
    assert await content(blobs, again, 0, 4) == b"four"
    assert [stray async for stray in blobs.strays(inf)] == []


async def test_what_has_its_own_name_already_keeps_it_when_there_is_a_layout(blobs: BlobStore) -> None:
    place = await write(blobs, await blobs.create(ID), 0, b"four")
    sealed = await blobs.seal(place, 4)  # and a crash before the record
    for _ in range(2):
        place = await blobs.stage(place, 4, "a")
    assert await blobs.seal(place, 4) == sealed
    assert await content(blobs, sealed, 0, 4) == b"four"


async def test_nothing_is_staged_or_published_without_the_lease(blobs: BlobStore) -> None:
    place = await write(blobs, await blobs.create(ID), 0, b"four")
    with pytest.raises(Stale):
        await blobs.stage(place, 4, "a", lost)
    place = await blobs.stage(place, 4, "a")
    with pytest.raises(Stale):
        await blobs.seal(place, 4, lost)
    taken = await blobs.seal(await staged(blobs, OTHER, "a", b"mine"), 4)
    assert taken.partition("//")[0] == "files/a"
    assert (await blobs.seal(place, 4)).partition("//")[0] == f"files/a-{ID[:8]}"
