"""The local folder: short writes, a full disk, links, modes."""

import asyncio
import errno
import os
import tempfile
from pathlib import Path

import pytest

from protocol.model import UploadId
from storage.base import Durability, Full, Unreachable
from storage.disk import DiskBlobs

ID = UploadId("0" * 32)


async def test_a_short_write_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, block, at: real(fd, block[:3], at))
    blobs = DiskBlobs(tmp_path)
    place = await blobs.create(ID)
    async with blobs.open(place, 0) as sink:
        sink.write(b"0123456789", 0)
    assert (tmp_path / place).read_bytes() == b"0123456789"
    await blobs.close()


@pytest.mark.parametrize(("number", "fault"), [(errno.ENOSPC, Full), (errno.EDQUOT, Full), (errno.EIO, Unreachable)])
async def test_the_errors_of_the_disk_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fault: type[Exception]
) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    blobs = DiskBlobs(tmp_path)
    async with blobs.open(await blobs.create(ID), 0) as sink:
        for call in ("pwrite", "fdatasync"):
            monkeypatch.setattr(os, call, fail)
        with pytest.raises(fault):
            sink.write(b"x", 0)
        with pytest.raises(fault):
            await sink.sync()
    await blobs.close()


async def test_a_link_is_never_followed(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path / "data")
    place = await blobs.create(ID)
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / "data" / place).symlink_to(target)
    with pytest.raises(Unreachable):
        async with blobs.open(place, 0) as sink:
            sink.write(b"x", 0)
    assert target.read_bytes() == b"precious"
    await blobs.close()


async def test_files_are_private_and_published_ones_read_only(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path)
    place = await blobs.create(ID)
    async with blobs.open(place, 0) as sink:
        sink.write(b"four", 0)
    assert (tmp_path / place).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / await blobs.seal(place, 4)).stat().st_mode & 0o777 == 0o440
    assert (tmp_path / "files").stat().st_mode & 0o777 == 0o700
    await blobs.close()


async def test_a_failed_sync_is_told_to_whose_bytes_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, broken = os.fdatasync, tmp_path / "partial" / ("2" * 32)

    def fail(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), broken.stat()):
            raise OSError(errno.EIO, "the disk is broken")
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fail)
    blobs = DiskBlobs(tmp_path, Durability.GROUP)

    async def put(digit: str) -> None:
        async with blobs.open(await blobs.create(UploadId(digit * 32)), 0) as sink:
            sink.write(b"four", 0)
            await sink.sync()

    ends = await asyncio.gather(put("1"), put("2"), put("3"), return_exceptions=True)
    assert [type(end) for end in ends] == [type(None), Unreachable, type(None)]
    await blobs.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED LOUDLY: only root can be somebody else")
async def test_who_is_not_root_seals_what_a_crash_left_read_only() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # where others than root may go
        os.chown(folder, 65534, 65534)
        os.setegid(65534)
        os.seteuid(65534)
        try:
            blobs = DiskBlobs(Path(folder))
            place = await blobs.create(ID)
            async with blobs.open(place, 0) as sink:
                sink.write(b"all of it", 0)
            (Path(folder) / place).chmod(0o440)
            sealed = await blobs.seal(place, 9)
            assert (Path(folder) / sealed).read_bytes() == b"all of it"
            await blobs.close()
        finally:
            os.seteuid(0)
            os.setegid(0)


async def test_another_folder_in_its_place_is_noticed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    blobs = DiskBlobs(data)
    await blobs.probe()
    data.rename(tmp_path / "away")
    for name in (".", "partial", "files"):
        (data / name).mkdir(exist_ok=True)
    with pytest.raises(Unreachable, match="another folder"):
        await blobs.probe()
    (data / "lock").touch()
    with pytest.raises(Unreachable, match="another folder"):
        await blobs.probe()
    await blobs.close()
