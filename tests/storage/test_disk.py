"""The local folder: short writes, a full disk, links, modes, folders that are not mounted."""

import asyncio
import errno
import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from unittest.mock import patch

import pytest

from onward.protocol.model import Place, UploadId
from onward.storage.base import Durability, Full, Unreachable
from onward.storage.blobs import staging
from onward.storage.blobs.disk import DiskBlobs
from onward.storage.blobs.places import Parts, published_at

ID = UploadId("0" * 32)


async def test_a_short_write_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, block, at: real(fd, block[:3], at))
    blobs = DiskBlobs(tmp_path)
    place = await blobs.create(ID)
    async with blobs.open(place, 0) as writer:
        writer.write(b"0123456789", 0)
    assert (tmp_path / place).read_bytes() == b"0123456789"
    await blobs.close()


@pytest.mark.parametrize(("number", "fault"), [(errno.ENOSPC, Full), (errno.EDQUOT, Full), (errno.EIO, Unreachable)])
async def test_errors_of_the_disk_become_those_of_the_seam(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fault: type[Exception]
) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    blobs = DiskBlobs(tmp_path)
    async with blobs.open(await blobs.create(ID), 0) as writer:
        for call in ("pwrite", "fdatasync"):
            monkeypatch.setattr(os, call, fail)
        with pytest.raises(fault):
            writer.write(b"x", 0)
        with pytest.raises(fault):
            await writer.sync()
    await blobs.close()


async def test_a_link_is_never_followed(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path / "data")
    place = await blobs.create(ID)
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / "data" / place).symlink_to(target)
    with pytest.raises(Unreachable):
        async with blobs.open(place, 0) as writer:
            writer.write(b"x", 0)
    assert target.read_bytes() == b"precious"
    await blobs.close()


async def test_files_are_private_and_published_ones_read_only(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path)
    place = await blobs.create(ID)
    async with blobs.open(place, 0) as writer:
        writer.write(b"four", 0)
    assert (tmp_path / place).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / await blobs.seal(place, 4)).stat().st_mode & 0o777 == 0o440
    assert (tmp_path / "files").stat().st_mode & 0o777 == 0o700
    await blobs.close()


async def test_a_failed_sync_is_reported_for_its_own_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, broken = os.fdatasync, tmp_path / "partial" / ("2" * 32)

    def fail(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), broken.stat()):
            raise OSError(errno.EIO, "the disk is broken")
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fail)
    blobs = DiskBlobs(tmp_path, Durability.GROUP)

    async def put(digit: str) -> None:
        async with blobs.open(await blobs.create(UploadId(digit * 32)), 0) as writer:
            writer.write(b"four", 0)
            await writer.sync()

    ends = await asyncio.gather(put("1"), put("2"), put("3"), return_exceptions=True)
    assert [type(end) for end in ends] == [type(None), Unreachable, type(None)]
    await blobs.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED LOUDLY: only root can be somebody else")
async def test_a_user_who_is_not_root_seals_a_file_that_a_crash_left_read_only() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # where others than root may go
        os.chown(folder, 65534, 65534)
        os.setegid(65534)
        os.seteuid(65534)
        try:
            blobs = DiskBlobs(Path(folder))
            place = await blobs.create(ID)
            async with blobs.open(place, 0) as writer:
                writer.write(b"all of it", 0)
            (Path(folder) / place).chmod(0o440)
            sealed = await blobs.seal(place, 9)
            assert (Path(folder) / sealed).read_bytes() == b"all of it"
            await blobs.close()
        finally:
            os.seteuid(0)
            os.setegid(0)


async def test_a_folder_that_was_exchanged_is_noticed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    blobs = DiskBlobs(data)
    await blobs.probe()
    data.rename(tmp_path / "away")
    for name in (".", "partial", "files"):
        (data / name).mkdir(exist_ok=True)
    with pytest.raises(Unreachable, match="another folder"):
        await blobs.probe()
    await blobs.close()


NOT_MISSING = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ESTALE, errno.ELOOP, errno.ENOTDIR, errno.EMFILE,
    errno.ENFILE, errno.ENODEV, errno.ETIMEDOUT,
)  # fmt: skip


async def _append(blobs: DiskBlobs, place: Place) -> None:
    async with blobs.open(place, 4) as writer:
        writer.write(b"x", 4)


async def _begin(blobs: DiskBlobs, place: Place) -> None:
    async with blobs.open(place, 0) as writer:
        writer.write(b"four", 0)


async def _join(blobs: DiskBlobs, place: Place) -> None:
    async for _ in blobs.join(await blobs.create(UploadId("9" * 32)), [(place, 4)]):
        pass


async def _scan(blobs: DiskBlobs, place: Place) -> None:
    async for _ in blobs.scan(place, 4, lambda _: None):
        pass


async def _read(blobs: DiskBlobs, place: Place) -> None:
    async for _ in blobs.read(place, 0, 4):
        pass


async def _send(blobs: DiskBlobs, place: Place) -> None:
    async with blobs.file(place, 4):
        pass


async def _fence(blobs: DiskBlobs, place: Place) -> None:
    await blobs.fence(place, 4, lambda: True)


async def _seal(blobs: DiskBlobs, place: Place) -> None:
    await blobs.seal(place, 4, acknowledged=True)


WORK: tuple[Callable[[DiskBlobs, Place], Awaitable[None]], ...] = (
    _append, _begin, _join, _scan, _read, _send, _fence, DiskBlobs.sync, _seal,
)  # fmt: skip


@pytest.mark.parametrize("number", NOT_MISSING, ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("call", ["open", "stat"])
async def test_bytes_that_are_unreachable_are_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    blobs = DiskBlobs(tmp_path)
    place = await blobs.create(ID)
    await _begin(blobs, place)
    real = getattr(os, call)

    def fail(path: str | int | Path, *words: object, **more: object) -> object:
        if str(path) == str(tmp_path / place):
            raise OSError(number, os.strerror(number))
        return real(path, *words, **more)

    for work in WORK:
        with monkeypatch.context() as broken:
            broken.setattr(os, call, fail)
            with suppress(Unreachable):  # not all of them look at it before they open it
                await work(blobs, place)
                assert call == "stat", f"{work} did not open it"
        await work(blobs, place)
    await blobs.close()


async def test_bytes_in_a_folder_that_is_not_mounted_are_not_missing(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path)
    place = await blobs.create(ID)
    await _begin(blobs, place)
    (tmp_path / "partial").rename(tmp_path / "away")
    for there in (False, True):  # gone, or an empty one in its place, as where a volume is not mounted
        if there:
            (tmp_path / "partial").mkdir()
        for work in WORK:
            with pytest.raises(Unreachable):
                await work(blobs, place)
    (tmp_path / "partial").rmdir()
    (tmp_path / "away").rename(tmp_path / "partial")
    for work in WORK:
        await work(blobs, place)
    await blobs.close()


async def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = DiskBlobs(tmp_path)
    place = await blobs.create(ID)
    await _begin(blobs, place)

    def fail(fd: int) -> None:
        raise OSError(errno.ENOSPC, "the disk is full")

    def apart(*_: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(Full):
            await _fence(blobs, place)
        broken.undo()
        broken.setattr(os, "rename", apart)
        with pytest.raises(Unreachable):  # the copy itself is renamed as well
            await _seal(blobs, place)
    names = [path.name for folder in ("partial", "files") for path in (tmp_path / folder).iterdir()]
    assert names == [ID]
    await _seal(blobs, place)
    await blobs.close()


async def test_bytes_are_copied_through_memory_if_the_kernel_copies_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "copy_file_range", lambda *_: 0)  # as some file systems answer, without an error
    blobs = DiskBlobs(tmp_path)
    place = await blobs.create(ID)
    await _begin(blobs, place)
    await _fence(blobs, place)
    await _join(blobs, place)
    assert (tmp_path / "partial" / ("9" * 32)).read_bytes() == b"four"
    await blobs.close()


async def test_the_probe_names_what_an_upload_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = DiskBlobs(tmp_path)
    await blobs.probe()
    for call, number, fault, named in (
        ("pwrite", errno.EROFS, Unreachable, "partial/"),
        ("fdatasync", errno.EIO, Unreachable, "partial/"),
        ("pwrite", errno.ENOSPC, Full, "partial/"),
        ("fdatasync", errno.EDQUOT, Full, "partial/"),
        ("rename", errno.EACCES, Unreachable, "files/"),
        ("rename", errno.EROFS, Unreachable, "files/"),
    ):
        with monkeypatch.context() as broken:
            broken.setattr(os, call, _failing(number))
            with pytest.raises(fault, match=named) as raised:
                await blobs.probe()
        assert str(tmp_path) not in str(raised.value), "it is told to strangers"
    with monkeypatch.context() as broken:
        broken.setattr(os, "rename", _failing(errno.EXDEV))
        await blobs.probe()
        broken.setattr(os, "pwrite", _failing(errno.ENOSPC))
        broken.setattr(os, "rename", _failing(errno.EACCES))
        with pytest.raises(Unreachable, match="files/"):  # that is what no room would mend
            await blobs.probe()
    await blobs.probe()
    assert not [path for folder in ("partial", "files") for path in (tmp_path / folder).iterdir()]
    await blobs.close()


def _failing(number: int) -> Callable[..., object]:
    def fail(*_: object) -> object:
        raise OSError(number, os.strerror(number))

    return fail


async def test_the_name_of_a_file_and_of_each_folder_on_its_way_is_synced_before_its_other_name_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real, unlink = os.fsync, Path.unlink

    def note_sync(fd: int) -> None:
        steps.append(os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), tmp_path))
        real(fd)

    def note_unlink(path: Path, missing_ok: bool = False) -> None:
        steps.append(f"-{path.parent.name}")
        unlink(path, missing_ok)

    blobs = DiskBlobs(tmp_path)
    async with blobs.open(await blobs.create(ID), 0) as writer:
        writer.write(b"four", 0)
    place = await blobs.stage(writer.place, 4, "2026/11/a")
    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "unlink", note_unlink)
    await blobs.seal(place, 4)
    assert steps == ["files/2026/11", "files/2026", "files", "-partial", "partial"]
    await blobs.close()


async def test_only_what_a_crash_has_left_is_a_stray_whatever_finished_files_are_called(tmp_path: Path) -> None:
    blobs, files = DiskBlobs(tmp_path), tmp_path / "files"
    async with blobs.open(await blobs.create(ID), 0) as writer:
        writer.write(b"four", 0)
    await blobs.seal(await blobs.stage(writer.place, 4, "report.tar.gz"), 4)
    (files / "v1.0").mkdir()
    for name in (".htaccess", f"{ID}.txt", f".{ID}.txt", "..notes"):  # what the operator may put there as well
        (files / name).write_bytes(b"theirs")
    left = [f".{ID}", f".{ID}-0123abcd", f"..{ID}-0123abcd", f".probe-{'0' * 16}"]
    for name in left:
        (files / name).write_bytes(b"half")
    assert sorted([place async for place, _ in blobs.strays(inf)]) == sorted(f"files/{name}" for name in left)
    await blobs.close()


async def test_a_staged_file_that_another_publishes_at_this_very_moment_is_not_lost(tmp_path: Path) -> None:
    """A former holder of the lease has linked it, and removed its first name, after the present one had looked."""
    blobs = DiskBlobs(tmp_path)
    async with blobs.open(await blobs.create(ID), 0) as writer:
        writer.write(b"bytes", 0)
    staged = await blobs.stage(writer.place, 5, "a.txt")
    looks = iter([None])  # nothing is found at the first look

    def late(files: Path, place: Parts) -> str | None:
        return next(looks, published_at(files, place))

    sealed = await blobs.seal(staged, 5)
    with patch.object(staging, "published_at", late):
        assert await blobs.seal(staged, 5) == sealed
    await blobs.close()
