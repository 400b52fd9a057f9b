"""Which servers are alive: none is taken for dead because its file, or the folder, was exchanged meanwhile."""

import fcntl
import os
from pathlib import Path

import pytest

from onward.storage.base import Unreachable
from onward.storage.blobs.nodes import DiskNodes


async def test_a_server_that_recreates_its_file_meanwhile_is_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, real = DiskNodes(tmp_path, shared=True), fcntl.flock
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
    assert not await looking.is_dead("starting")
    assert path.exists()
    os.close(held[0])
    assert await looking.is_dead("starting")
    assert not path.exists()
    await looking.close()


async def test_no_server_counts_as_dead_if_the_folder_of_the_locks_is_gone(tmp_path: Path) -> None:
    looking, other = DiskNodes(tmp_path, shared=True), DiskNodes(tmp_path, shared=True)
    (tmp_path / "nodes").rename(tmp_path / "away")
    with pytest.raises(Unreachable):
        await looking.is_dead(other.name)
    (tmp_path / "away").rename(tmp_path / "nodes")
    await looking.close()
    await other.close()


async def test_a_data_folder_that_was_exchanged_is_noticed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    nodes = DiskNodes(data, shared=False)
    await nodes.probe()
    data.rename(tmp_path / "away")
    with pytest.raises(Unreachable, match=r"looked at|another folder"):
        await nodes.probe()
    (data / "nodes").mkdir(parents=True)
    (data / "lock").touch()
    with pytest.raises(Unreachable, match="another folder"):
        await nodes.probe()
    await nodes.close()
