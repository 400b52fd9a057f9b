"""Backups of records in a folder, and the name of the data folder, also if the server is killed while it makes it."""

import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from msgspec.structs import replace
from onward_process import ROOT
from test_state_contract import UPLOAD

from onward.protocol.model import UploadId
from onward.storage.base import Unreachable
from onward.storage.blobs.disk import DiskBlobs

KILLED = 9
START = f"""
import os, sys
from pathlib import Path
from onward.storage.blobs.backups import DiskBackups
from onward.storage.blobs.folders import Folders
from onward.storage.running.threads import Threads

folder, left, threads = Path(sys.argv[1]), int(sys.argv[2]), Threads(1, "copies")
folders = Folders(folder.parent, ("records",), lambda _: None)

def count(event, words):
    global left
    if event.partition(".")[0] in ("os", "open") and words and "store" in str(words[0]):
        if not left:
            os._exit({KILLED})
        left -= 1

sys.addaudithook(count)
print(DiskBackups(folder, threads, folders, synced=True).store)
"""


def start(folder: Path, acts: int) -> subprocess.CompletedProcess[bytes]:
    """Open the backups of a data folder in a process that dies after so many acts on files whose names have "store"."""
    words = [sys.executable, "-c", START, str(folder / "records"), str(acts)]
    return subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, timeout=60, check=False)


def test_a_start_that_is_killed_leaves_only_a_whole_name(tmp_path: Path) -> None:
    killed = 0
    for acts in count():
        folder = tmp_path / str(acts)
        folder.mkdir()
        first = start(folder, acts)
        second = start(folder, sys.maxsize)
        assert (folder / "store").read_text() == second.stdout.decode().strip() != ""
        assert {path.name for path in folder.iterdir()} == {"records", "store"}
        if first.returncode != KILLED:
            assert first.stdout == second.stdout
            break
        killed += 1
    assert killed > 2


def test_servers_that_start_together_agree_on_one_name(tmp_path: Path) -> None:
    words = [sys.executable, "-c", START, str(tmp_path / "records"), str(sys.maxsize)]
    starting = [subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(8)]
    names = {each.communicate(timeout=60)[0] for each in starting}
    assert names == {f"{(tmp_path / 'store').read_text()}\n".encode()}
    assert {path.name for path in tmp_path.iterdir()} == {"records", "store"}


async def test_backups_in_a_folder_that_is_not_mounted_are_not_missing(tmp_path: Path) -> None:
    blobs = DiskBlobs(tmp_path)
    backups = blobs.backups()
    await backups.begin(UPLOAD, durable=True)
    assert await backups.kept(UploadId("1" * 32)) is None
    (tmp_path / "records").rename(tmp_path / "away")
    for there in (False, True):
        if there:
            (tmp_path / "records").mkdir()
        with pytest.raises(Unreachable):
            await backups.kept(UPLOAD.id)
        with pytest.raises(Unreachable):
            await backups.keep(replace(UPLOAD, version=2), durable=True)
        with pytest.raises(Unreachable):
            await backups.begin(replace(UPLOAD, version=2), durable=True)
    (tmp_path / "records").rmdir()
    (tmp_path / "away").rename(tmp_path / "records")
    assert await backups.kept(UPLOAD.id) == UPLOAD
    await blobs.close()


async def test_copies_of_any_length_are_read_whole(tmp_path: Path) -> None:
    backups = DiskBlobs(tmp_path).backups()
    await backups.begin(UPLOAD, durable=False)
    for number, length in enumerate((10, 3600, *range(3990, 4010), 4090, 9000, 60_000, 0), 1):
        upload = replace(UPLOAD, version=UPLOAD.version + number, metadata="x" * length)
        await backups.keep(upload, durable=False)
        assert await backups.kept(UPLOAD.id) == upload
