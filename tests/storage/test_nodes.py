"""Which servers are alive: none is taken for dead because its file changed under the eyes of another."""

import fcntl
import os
from pathlib import Path

import pytest

from onward.storage.blobs.nodes import Nodes


def test_who_makes_its_file_anew_while_another_looks_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, real = Nodes(tmp_path, shared=True), fcntl.flock
    path = tmp_path / "nodes" / "starting"
    path.touch()
    held: list[int] = []

    def late(fd: int, how: int) -> None:
        if not held:  # a third one has removed the file meanwhile, and who starts has made another
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
