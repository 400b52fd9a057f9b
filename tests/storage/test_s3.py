"""What an object store does beyond the contract of the bytes: parts, numbers, tails, and how many requests it takes."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from math import inf
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace
from s3_process import S3Process, s3_bytes
from test_blobs_contract import ID, content, put
from yarl import URL

from onward.protocol.model import Place, UploadId
from onward.storage.base import Ahead, Missing, StoredBytes, Unreachable

pytest.importorskip("aiobotocore", reason="SKIPPED LOUDLY: pip install 'onward[s3]'")

from onward.storage.blobs.s3.client import S3Client
from onward.storage.blobs.s3.memory import BUFFER, GRANT, Memory
from onward.storage.blobs.s3.send_queue import SendQueue
from onward.storage.blobs.s3.spot import Run, Spot, Tail, parse
from onward.storage.blobs.s3.store import S3Blobs
from onward.storage.blobs.s3.writer import LAST_PART, PartWriter, part_size

MIB = 2**20
PART = 5 * MIB
NAMED = Ahead(named=True)


@pytest.fixture(params=["versitygw", "seaweedfs"])
async def stored(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoredBytes]:
    server: S3Process = request.getfixturevalue(request.param)
    async with s3_bytes(server, server.new_bucket(), tmp_path, {"part-size": PART}) as opened:
        yield opened


@pytest.fixture
def blobs(stored: StoredBytes) -> S3Blobs:
    assert isinstance(stored.blobs, S3Blobs)
    return stored.blobs


def some(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


async def write(blobs: S3Blobs, place: Place, at: int, data: bytes, ahead: Ahead = NAMED) -> Place:
    """Write one body in blocks; returns the place that counts afterwards."""
    async with blobs.open(place, at, ahead=ahead) as writer:
        for start in range(0, len(data), MIB):
            await put(writer, data[start : start + MIB], at + start)
        assert await writer.sync(ended=True) == at + len(data)
        return writer.place


@pytest.mark.parametrize("named", [True, False])
async def test_parts_and_a_tail_become_one_file(blobs: S3Blobs, named: bool) -> None:
    data, ahead = some(3 * PART + 1234), Ahead(named=named)
    place = await write(blobs, await blobs.create(ID), 0, data[: PART + 77], ahead)
    assert parse(place).runs == (Run(1, 1, PART),)
    place = await write(blobs, place, PART + 77, data[PART + 77 :], ahead)
    assert parse(place).runs == (Run(1, 3, PART),)
    sealed = await blobs.seal(place, len(data))
    assert sealed == f"files/{ID}"
    assert await content(blobs, sealed, 0, len(data)) == data
    assert await blobs.seal(place, len(data)) == sealed
    assert await content(blobs, place, PART - 5, PART + 5) == data[PART - 5 : PART + 5]
    assert [stray async for stray in blobs.strays(inf)] == []
    await blobs.remove(sealed)
    with pytest.raises(Missing):
        await content(blobs, sealed, 0, 1)


@pytest.mark.parametrize("more", [7, PART], ids=["a tail", "a part"])
async def test_a_lost_tail_is_found_missing_at_once(blobs: S3Blobs, more: int) -> None:
    place = await write(blobs, await blobs.create(ID), 0, b"tail")
    tail = parse(place).tail
    assert tail
    await blobs._client.call("delete_object", f"tails/{ID}.{tail.name}")
    blobs._cache.take(place)  # as another server would, it has to get the bytes of the tail from the bucket
    async with asyncio.timeout(5):
        with pytest.raises(Missing):
            await write(blobs, place, 4, some(more))


async def test_a_file_of_parts_gets_the_path_of_a_layout_once(blobs: S3Blobs) -> None:
    data = some(2 * PART + 5)
    place = await write(blobs, await blobs.create(ID), 0, data, Ahead())
    staged = await blobs.stage(place, len(data), "2026/a b.pdf")
    sealed = await blobs.seal(staged, len(data))
    assert sealed.partition("//")[0] == "files/2026/a b.pdf"
    for again in (staged, sealed):
        assert await blobs.seal(again, len(data)) == sealed
        assert await content(blobs, again, 0, len(data)) == data
    assert [stray async for stray in blobs.strays(inf)] == []


async def test_large_and_small_parts_are_joined(blobs: S3Blobs) -> None:
    sizes = [100, PART + 3, PART - 1, 2 * PART, 7, 3 * PART]
    pieces = [some(size, seed) for seed, size in enumerate(sizes)]
    places = [
        await write(blobs, await blobs.create(UploadId(f"{n:032x}")), 0, piece, Ahead())
        for n, piece in enumerate(pieces, 1)
    ]
    target = await blobs.create(UploadId("f" * 32))
    whole = b"".join(pieces)
    steps = [at async for at in blobs.join(target, list(zip(places, sizes, strict=True)))]
    assert steps[-1] == len(whole)
    sealed = await blobs.seal(target, len(whole))
    assert await content(blobs, sealed, 0, len(whole)) == whole


async def test_a_part_that_arrives_late_from_a_former_holder_is_not_used(blobs: S3Blobs, stored: StoredBytes) -> None:
    first, late, other = some(PART, 1), some(PART, 2), some(PART + 9, 3)
    recorded = await write(blobs, await blobs.create(ID), 0, first)
    spot = parse(recorded)
    client = blobs._client

    async def send() -> AsyncIterator[bytes]:
        yield late

    # The former holder has begun to send its second part, and is suspended. Another one fences, and continues.
    fenced = await blobs.fence(recorded, PART, lambda: True)
    async with blobs.open(fenced, PART, ahead=NAMED) as writer:
        for start in range(0, len(other), MIB):
            await put(writer, other[start : start + MIB], PART + start)
        await client.upload_part(f"files/{ID}", spot.multipart, spot.number, send, PART)
        await writer.sync(ended=True)
        place = writer.place
    await client.upload_part(f"files/{ID}", spot.multipart, spot.number, send, PART)
    sealed = await blobs.seal(place, PART + len(other))
    assert await content(blobs, sealed, 0, PART + len(other)) == first + other


async def test_a_process_that_died_may_have_a_part_on_its_way(
    blobs: S3Blobs, stored: StoredBytes, tmp_path: Path
) -> None:
    first, late, other = some(PART, 1), some(PART, 2), some(PART, 3)
    recorded = await write(blobs, await blobs.create(ID), 0, first)
    spot = parse(recorded)
    blobs._cache.take(recorded)
    place = await write(blobs, recorded, PART, other)
    assert parse(place).runs == (Run(1, 1, PART), Run(3, 1, PART)), "the number that may be on its way is skipped"

    async def send() -> AsyncIterator[bytes]:
        yield late

    await blobs._client.upload_part(f"files/{ID}", spot.multipart, 2, send, PART)
    sealed = await blobs.seal(place, 2 * PART)
    assert await content(blobs, sealed, 0, 2 * PART) == first + other


async def test_a_part_that_was_changed_is_never_published(blobs: S3Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onward.storage.blobs.s3.publishing.LOOK_AGAIN", 0.0)
    place = await write(blobs, await blobs.create(ID), 0, some(2 * PART))
    spot = parse(place)

    async def send() -> AsyncIterator[bytes]:
        yield some(PART, 9)

    await blobs._client.upload_part(f"files/{ID}", spot.multipart, 2, send, PART)
    try:
        sealed = await blobs.seal(place, 2 * PART)
    except Unreachable as fault:
        assert "not those that were recorded" in str(fault)
        assert [found async for found in blobs._client.listed("files/")] == []
    else:  # a server may keep the part that was recorded as well
        assert await content(blobs, sealed, 0, 2 * PART) == some(2 * PART)


async def test_the_recorded_tail_stays_until_a_later_place_is_recorded(blobs: S3Blobs) -> None:
    data = some(PART + 100)
    recorded = await write(blobs, await blobs.create(ID), 0, data[:50])
    await write(blobs, recorded, 50, data[50:])  # and the server dies before the record
    await blobs._garbage.flush()
    assert await content(blobs, recorded, 0, 50) == data[:50]
    later = await write(blobs, recorded, 50, data[50:100])
    await write(blobs, later, 100, b"more")  # so the later place was recorded
    await blobs._garbage.flush()
    with pytest.raises(Missing):
        await content(blobs, recorded, 0, 50)
    assert await content(blobs, later, 0, 100) == data[:100]


async def test_anybody_can_get_a_published_file_by_its_link(blobs: S3Blobs, http: aiohttp.ClientSession) -> None:
    sealed = await blobs.seal(await write(blobs, await blobs.create(ID), 0, b"four"), 4)
    link = await blobs.link(sealed, "attachment; filename=\"a b.txt\"; filename*=UTF-8''%C3%A4.txt", 60)
    async with http.get(URL(link, encoded=True)) as answer:
        assert await answer.read() == b"four"
        assert answer.headers["Content-Disposition"] == "attachment; filename=\"a b.txt\"; filename*=UTF-8''%C3%A4.txt"
    async with http.get(URL(link.partition("?")[0], encoded=True)) as answer:
        assert answer.status == 403


async def test_what_a_crash_has_left_is_removed_and_nothing_else(blobs: S3Blobs) -> None:
    data = some(PART + 100)
    recorded = await write(blobs, await blobs.create(ID), 0, data[:50])
    lost = await write(blobs, recorded, 50, data[50:])  # not recorded: the server died
    strays = [stray async for stray in blobs.strays(inf)]
    assert {id_ for _, id_ in strays} == {ID}
    assert len(strays) == 3, "two tails and a multipart upload"
    assert sorted([await blobs.tidy(place, recorded) for place, _ in strays]) == [False, True, True]
    assert await content(blobs, recorded, 0, 50) == data[:50]
    with pytest.raises(Missing):
        await blobs.seal(lost, len(data))
    sealed = await blobs.seal(await write(blobs, recorded, 50, data[50:]), len(data))
    assert await content(blobs, sealed, 0, len(data)) == data


async def test_a_copy_to_a_path_that_a_crash_has_interrupted_is_removed(blobs: S3Blobs) -> None:
    data, path = some(2 * PART + 5), "2026/a b?;k=d.pdf"
    place = await write(blobs, await blobs.create(ID), 0, data, Ahead())
    staged = await blobs.stage(place, len(data), path)
    for at in (path, f"2026/{ID}"):
        await blobs._client.call("create_multipart_upload", f"files/{at}", Metadata={"onward": ID})
    strays = [stray async for stray in blobs.strays(inf)]
    assert sorted(str(id_) for _, id_ in strays) == [ID, ID, "None", "None"], (
        "a tail and a multipart upload, and two copies"
    )
    for stray, id_ in strays:
        if id_ is None:
            await blobs.remove(stray)
        else:
            assert not await blobs.tidy(stray, staged)
    assert [key async for key, _, _ in blobs._client.multiparts("files/")] == []
    sealed = await blobs.seal(staged, len(data))
    assert await content(blobs, sealed, 0, len(data)) == data


async def test_a_layout_that_is_given_later_leaves_no_second_file(blobs: S3Blobs) -> None:
    data = some(PART + 5)
    place = await write(blobs, await blobs.create(ID), 0, data)
    staged = await blobs.stage(place, len(data), "2026/a.pdf")
    sealed = await blobs.seal(staged, len(data))  # and the server dies at once
    assert [found.name async for found in blobs._client.listed("files/")] == ["files/2026/a.pdf"]
    assert await blobs.seal(staged, len(data)) == sealed
    assert await content(blobs, sealed, 0, len(data)) == data


async def test_a_bucket_that_is_not_there_does_not_mean_that_bytes_are_lost(blobs: S3Blobs) -> None:
    place = await write(blobs, await blobs.create(ID), 0, b"tail")
    missing = replace(blobs._client._settings, bucket="never-made")
    there, blobs._client._settings = blobs._client._settings, missing
    with pytest.raises(Unreachable, match="bucket does not exist"):
        await content(blobs, place, 0, 4)
    blobs._client._settings = there
    assert await content(blobs, place, 0, 4) == b"tail"


async def test_chunks_take_a_request_for_each_part_and_each_pause_and_six_more(
    blobs: S3Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[str] = Counter()
    for name in ("call", "_put", "get", "fetch"):
        original = getattr(S3Client, name)

        def counted(
            self: S3Client, *words: object, original: object = original, name: str = name, **more: object
        ) -> object:
            counts[str(words[0]) if name in ("call", "_put") else name] += 1
            return original(self, *words, **more)  # type: ignore[operator]

        monkeypatch.setattr(S3Client, name, counted)
    size = 20 * MIB
    data, place = some(size), await blobs.create(ID)
    for at in range(0, size, MIB):
        place = await write(blobs, place, at, data[at : at + MIB])
    sealed = await blobs.seal(place, size)
    await blobs._garbage.flush()
    parts, pauses = size // PART, size // MIB
    assert sum(counts.values()) <= parts + pauses + 6, counts
    assert counts["upload_part"] == parts
    assert await content(blobs, sealed, 0, size) == data


async def test_bodies_that_want_more_memory_than_there_is_all_come_to_their_end(
    tmp_path: Path, versitygw: S3Process
) -> None:
    memory = {"part-size": PART, "memory": 8 * MIB}
    async with s3_bytes(versitygw, versitygw.new_bucket(), tmp_path, memory) as stored:
        blobs = stored.blobs
        assert isinstance(blobs, S3Blobs)
        bodies = [some(PART + 2 * MIB, seed) for seed in range(6)]
        places = [await blobs.create(UploadId(f"{n:032x}")) for n in range(6)]
        free = blobs._memory.free
        places = await asyncio.gather(*(write(blobs, *each) for each in zip(places, [0] * 6, bodies, strict=True)))
        assert blobs._memory.free == free, "all memory was given back"
        for place, body in zip(places, bodies, strict=True):
            sealed = await blobs.seal(place, len(body))
            assert await content(blobs, sealed, 0, len(body)) == body


async def test_the_memory_of_all_bodies_together_is_bounded(tmp_path: Path, versitygw: S3Process) -> None:
    block, writers, most = some(MIB), list[PartWriter](), 0
    budget = {"part-size": PART, "memory": 16 * MIB}
    async with s3_bytes(versitygw, versitygw.new_bucket(), tmp_path, budget) as stored:
        blobs = stored.blobs
        assert isinstance(blobs, S3Blobs)
        free = blobs._memory.free

        async def body(number: int) -> None:
            nonlocal most
            place = await blobs.create(UploadId(f"{number:032x}"))
            async with blobs.open(place, 0, ahead=NAMED) as writer:
                writers.append(writer)
                for at in range(11):
                    await put(writer, block, at * MIB)
                    most = max(most, sum(each._queue.size + each._on_way for each in writers))
                await writer.sync(ended=True)

        await asyncio.gather(*map(body, range(12)))
        assert 8 * MIB < most <= free < 16 * MIB


async def test_bytes_that_may_still_be_on_their_way_are_not_written_over() -> None:
    memory = Memory(GRANT)
    arrived = SendQueue(memory)
    for number in range(3):
        arrived.add(bytes([number]) * BUFFER)
    first, second = arrived.take(BUFFER), arrived.take(BUFFER)
    arrived.release(reused=False)
    third = arrived.take(BUFFER)
    arrived.release(reused=True)
    arrived.add(b"x" * 3 * BUFFER)
    assert [bytes(view)[:2] for (view,) in (first, second)] == [b"\0\0", b"\1\1"]
    assert bytes(third[0]) == b"x" * BUFFER, "it was stored, so its buffer is used again"


async def test_memory_is_given_to_those_that_wait_in_their_order() -> None:
    memory = Memory(2 * GRANT)
    assert memory.take_now()
    assert memory.take_now()
    assert not memory.take_now()
    assert not await memory.take(0.01)
    waiting = [asyncio.ensure_future(memory.take(5)) for _ in range(2)]
    await asyncio.sleep(0)
    assert memory.scarce
    memory.give(GRANT)
    assert not memory.take_now(), "others wait for longer"
    assert await waiting[0]
    assert not waiting[1].done()
    waiting[1].cancel()
    await asyncio.gather(waiting[1], return_exceptions=True)
    memory.give(GRANT)
    assert memory.take_now()


def test_a_place_hardly_grows_with_its_parts() -> None:
    spot = Spot(id=ID, multipart="x" * 130, direct=True)
    for number in range(1, 9001):
        spot = spot.with_part(number, PART, f"{number:032x}")
    spot = Spot(**{name: getattr(spot, name) for name in spot.__struct_fields__} | {"tail": Tail("0123456789ab", 17)})
    place = spot.place()
    assert len(place) < 300
    assert parse(place) == spot
    assert spot.in_parts == 9000 * PART


@pytest.mark.parametrize(
    "spot",
    [
        Spot(id=ID),
        Spot(id=ID, tail=Tail("abc", 5)),
        Spot(id=ID, multipart="a/b;c=d//e", runs=(Run(1, 2, 3), Run(5, 1, 3)), check="0" * 16, number=6),
        Spot(id=ID, tail=Tail("abc", 5), path="2026/a;b=c?d.pdf"),
        Spot(id=ID, multipart="abc", copy="a/b?;k=d é.pdf"),
        Spot(id=ID, published=str(ID)),
        Spot(id=ID, published="2026/a.pdf"),
    ],
)
def test_a_place_says_what_it_was_made_of(spot: Spot) -> None:
    assert parse(spot.place()) == spot


def test_parts_have_one_size_unless_their_numbers_would_not_suffice() -> None:
    new = Spot(id=ID)
    assert part_size(PART, new, 1, 0, 10 * PART) == PART
    assert part_size(PART, new, 1, 0, 2**40) * LAST_PART * 0.9 >= 2**40
    assert part_size(PART, new, 1, 0, None) == PART
    at, number, spot = 0, 1, new
    while number <= LAST_PART:  # of unknown length: it can become large
        size = part_size(PART, spot, number, at, None)
        at, number = at + size, number + 1
    assert at > 4 * 2**40
    at, number, length, sizes = 0, 1, 50 * 2**40 // 1024, set()
    while at < length and number <= LAST_PART:
        size = part_size(PART, new, number, at, length)
        sizes.add(size)
        at, number = at + size, number + 2  # each second number is skipped
    assert at >= length
