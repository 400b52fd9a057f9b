"""Which servers are alive: none is taken for dead because its file, or the folder, was exchanged meanwhile."""

import fcntl
import os
from pathlib import Path

import pytest

from onward.protocol.model import UploadId
from onward.storage.base import Unreachable
from onward.storage.blobs.disk import DiskBlobs
from onward.storage.blobs.nodes import Nodes

ID = UploadId("0" * 32)


def test_a_server_that_recreates_its_file_meanwhile_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, real = Nodes(tmp_path, shared=True), fcntl.flock
    path = tmp_path / "nodes" / "starting"
    path.touch()
    held: list[int] = []

    def late(fd: int, how: int) -> None:
        if not held:  # a third server has removed the file meanwhile, and the starting one has made another
            path.unlink()
            held.append(os.open(path, os.O_RDWR | os.O_CREAT))
            real(held[0], fcntl.LOCK_EX)
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    assert not looking.is_dead("starting")
    assert path.exists()
    os.close(held[0])
    assert looking.is_dead("starting")
    assert not path.exists()
    looking.close()


async def test_no_server_counts_as_dead_if_the_folder_of_the_locks_is_gone(tmp_path: Path) -> None:
    blobs, other = DiskBlobs(tmp_path, shared=True), DiskBlobs(tmp_path, shared=True)
    place = await blobs.create(ID)
    async with blobs.open(place, 0) as writer:
        writer.write(b"four", 0)
    (tmp_path / "nodes").rename(tmp_path / "away")
    with pytest.raises(Unreachable):
        await blobs.fence(place, 4, other.node, lambda: True)
    (tmp_path / "away").rename(tmp_path / "nodes")
    await blobs.close()
    await other.close()
