"""Copies of records that are kept open: read without a thread, and always as new as what a thread would read."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from test_state_contract import ID, UPLOAD

from onward.protocol.model import Status, Upload, UploadId
from onward.storage.base import Missing, Stale
from onward.storage.blobs import open_copies
from onward.storage.blobs.backups import DiskBackups
from onward.storage.blobs.disk import DiskBlobs
from onward.storage.blobs.open_copies import OpenCopies
from onward.storage.running.threads import Threads

VERSIONS = [replace(UPLOAD, version=UPLOAD.version + number, offset=number) for number in range(6)]
pytestmark = pytest.mark.skipif(not open_copies.FLAGS, reason="no file system is known")


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[DiskBackups, DiskBackups]]:
    """Two servers with one data folder."""
    blobs = [DiskBlobs(tmp_path, shared=True) for _ in range(2)]
    yield blobs[0].backups(), blobs[1].backups()
    for each in blobs:
        await each.close()


@contextmanager
def without_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def call(*_: object) -> Any:
        raise AssertionError("a thread is asked")

    with monkeypatch.context() as patch:
        patch.setattr(Threads, "call", call)
        yield


def opened() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_copy_is_read_again_without_a_thread_and_is_as_new_as_the_file(
    two: tuple[DiskBackups, DiskBackups], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    await other.begin(VERSIONS[0], durable=False)
    assert await one.kept(ID) == VERSIONS[0]
    for version in VERSIONS[1:3]:
        await other.keep(version, durable=False)
        with without_threads(monkeypatch):
            assert await one.kept(ID) == version
            assert await one.kept_of([ID, ID]) == [version, version]
    await other.renew(VERSIONS[3], lambda: True)
    assert await one.kept(ID) == VERSIONS[3]
    await other.keep(VERSIONS[4], durable=False)
    with without_threads(monkeypatch):
        assert await one.kept_of([ID]) == [VERSIONS[4]]
    await other.drop(ID)
    assert await one.kept_of([ID, UploadId("e" * 32)]) == [None, None]
    await other.begin(VERSIONS[1], durable=False)
    assert await one.kept(ID) == VERSIONS[1]


async def test_who_writes_a_copy_reads_it_without_a_thread_until_the_upload_ends(
    two: tuple[DiskBackups, DiskBackups], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, before = two[0], opened()
    await one.begin(VERSIONS[0], durable=True)
    with without_threads(monkeypatch):
        assert await one.kept(ID) == VERSIONS[0]
    await one.keep(replace(VERSIONS[1], status=Status.COMPLETED), durable=True)
    assert opened() == before


async def test_a_copy_that_was_written_where_the_bytes_are_is_not_written_again(
    two: tuple[DiskBackups, DiskBackups], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    await one.begin(VERSIONS[0], durable=False)
    one.keep_here(replace(VERSIONS[1], version=VERSIONS[0].version))
    assert await other.kept(ID) == VERSIONS[1]
    with without_threads(monkeypatch):
        await one.keep(VERSIONS[1], durable=True)
    one.keep_here(replace(VERSIONS[2], version=VERSIONS[1].version))
    await one.keep(VERSIONS[3], durable=True)
    assert await other.kept(ID) == VERSIONS[3]
    later = replace(VERSIONS[1], epoch=9)
    await other.keep(later, durable=True)
    one.keep_here(replace(VERSIONS[5], version=VERSIONS[4].version))  # its lease was lost
    with pytest.raises(Stale):
        await one.keep(VERSIONS[5], durable=True)
    await other.drop(ID)
    one.keep_here(replace(later, version=2))
    with pytest.raises(Missing):
        await one.keep(replace(later, version=3), durable=True)


async def test_a_long_copy_is_read_by_a_thread(two: tuple[DiskBackups, DiskBackups]) -> None:
    one, other = two
    await other.begin(VERSIONS[0], durable=False)
    assert await one.kept(ID) == VERSIONS[0]
    for version in VERSIONS[1:]:
        long = replace(version, metadata="x" * 5000 if version.version % 2 else None)
        await other.keep(long, durable=False)
        assert await one.kept(ID) == long


@pytest.mark.parametrize("there", [0, 4, 8, 20])
async def test_what_would_take_waiting_is_read_by_a_thread(
    two: tuple[DiskBackups, DiskBackups], monkeypatch: pytest.MonkeyPatch, there: int
) -> None:
    one, read = two[0], os.preadv

    def some(fd: int, buffers: list[bytearray], at: int, flags: int = 0) -> int:
        if not there:
            raise BlockingIOError
        with memoryview(buffers[0]) as whole, whole[:there] as part:
            return read(fd, [whole] if at else [part], at, flags)  # the newest one is in the first slot

    await one.begin(VERSIONS[0], durable=False)
    await one.keep(VERSIONS[1], durable=False)
    monkeypatch.setattr(os, "preadv", some)
    assert await one.kept(ID) == VERSIONS[1]


async def test_only_some_copies_are_kept_open_and_none_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_copies, "MOST", 3)
    before, blobs = opened(), DiskBlobs(tmp_path)
    backups = blobs.backups()
    uploads = [replace(UPLOAD, id=UploadId(f"{number:032x}")) for number in range(20)]
    for upload in uploads:
        await backups.begin(upload, durable=False)
        assert await backups.kept(upload.id) == upload
    await asyncio.gather(*(backups.kept_of([upload.id for upload in uploads]) for _ in range(3)))
    assert [each for each in await backups.kept_of([upload.id for upload in uploads]) if each is not None] == uploads
    await backups.drop(ID)
    assert before < opened() <= before + 2 * 3
    await blobs.close()
    assert opened() == before


async def test_no_copy_is_kept_open_where_other_machines_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_copies, "_file_system", lambda _: "nfs4")
    blobs = DiskBlobs(tmp_path)
    backups, before = blobs.backups(), opened()
    await backups.begin(UPLOAD, durable=False)
    assert await backups.kept_of([ID, ID]) == [UPLOAD, UPLOAD]
    assert opened() == before
    await blobs.close()


def test_the_type_of_a_file_system_is_found(tmp_path: Path) -> None:
    def nothing(_: object) -> Upload | None:
        return None

    (tmp_path / ID).touch()
    fd = os.open(tmp_path / ID, os.O_RDONLY)
    copies = OpenCopies(tmp_path, 1, 1, nothing)
    copies.offer(ID, fd)
    known = opened()
    copies.close()
    kind = subprocess.check_output(["stat", "--file-system", "--format=%T", tmp_path], text=True).strip()
    assert opened() == known - (kind in ("ext2/ext3", "xfs", "tmpfs"))
