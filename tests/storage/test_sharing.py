"""Equal files that share their blocks, on file systems that can do that, with the room measured before and after."""

import errno
import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_connection import poll
from mounts import SharingDisk, sharing_disk

from onward.protocol.errors import Locked
from onward.protocol.model import Place
from onward.storage.base import Missing
from onward.storage.blobs import sharing
from onward.storage.blobs.disk import DiskBlobs
from onward.storage.blobs.sharing import STEP

SIZE = 3 * STEP + 4321  # several steps, and an end in the middle of a block
SLACK = SIZE // 8  # what the file system itself may need meanwhile
DATA = random.Random(7).randbytes(SIZE)


@pytest.fixture(params=["xfs", "btrfs"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SharingDisk]:
    with sharing_disk(tmp_path / "disk", request.param) as disk:
        yield disk


async def sealed(blobs: DiskBlobs, digit: str, data: bytes = DATA, path: str = "") -> Place:
    place = await blobs.create(digit * 32)  # type: ignore[arg-type]
    async with blobs.open(place, 0) as writer:
        writer.write(data, 0)
        await writer.sync(ended=True)
    if path:
        place = await blobs.stage(place, len(data), path)
    return await blobs.seal(place, len(data))


async def content(blobs: DiskBlobs, place: Place) -> bytes:
    return b"".join([block async for block in blobs.read(place, 0, SIZE)])


@pytest.mark.parametrize("path", ["", "a/file.bin"])
async def test_equal_files_take_the_room_of_one_and_each_can_be_removed(disk: SharingDisk, path: str) -> None:
    blobs = DiskBlobs(disk.folder / "data")
    empty = disk.used()
    first = await sealed(blobs, "1", path=path)
    one = disk.used()
    second = await sealed(blobs, "2", path=path)
    two = disk.used()
    assert one - empty > SIZE - SLACK
    assert two - one > SIZE - SLACK
    for _ in range(2):  # it may be repeated
        assert await blobs.share(second, first, SIZE)
    assert disk.used() - one < SLACK, "both take room"
    assert await content(blobs, first) == DATA
    await blobs.remove(first)
    assert await content(blobs, second) == DATA
    await blobs.remove(second)
    poll(lambda: disk.used() - empty < SLACK)  # XFS frees shared blocks a little later
    await blobs.close()


async def test_a_file_that_is_damaged_is_not_shared(disk: SharingDisk) -> None:
    blobs = DiskBlobs(disk.folder / "data")
    damaged = DATA[: 2 * STEP] + b"?" + DATA[2 * STEP + 1 :]
    first, second = await sealed(blobs, "1", damaged), await sealed(blobs, "2")
    with pytest.raises(Missing, match="differs"):
        await blobs.share(second, first, SIZE)
    assert await content(blobs, second) == DATA
    assert await content(blobs, first) == damaged
    await blobs.close()


async def test_sharing_can_be_stopped_between_its_steps(disk: SharingDisk) -> None:
    blobs = DiskBlobs(disk.folder / "data")
    first, second = await sealed(blobs, "1"), await sealed(blobs, "2")
    before, steps = disk.used(), []

    def stop() -> None:
        steps.append(disk.used())
        raise Locked("Another request took the upload over.")

    with pytest.raises(Locked):
        await blobs.share(second, first, SIZE, stop)
    assert len(steps) == 1
    assert before - disk.used() < 2 * STEP, "no more than one step is shared; btrfs frees its room later"
    assert await content(blobs, second) == DATA
    await blobs.close()


async def test_a_file_system_that_cannot_share_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(sharing, "share_some", refuse)
    caplog.set_level(logging.INFO, "onward")
    blobs = DiskBlobs(tmp_path / "data")
    first, second = await sealed(blobs, "1"), await sealed(blobs, "2")
    for _ in range(2):
        assert not await blobs.share(second, first, SIZE)
    assert [record.message for record in caplog.records] == [
        "equal files are kept apart: this file system can't share their blocks (Operation not supported)"
    ]
    await blobs.close()
