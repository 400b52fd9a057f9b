"""The name of a data folder: a server that is killed while it makes it leaves it whole or not at all, and no rest."""

import subprocess
import sys
from itertools import count
from pathlib import Path

from onward_process import ROOT

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
    """Start a server of a data folder that dies before it has done more than so many acts on files called store…"""
    words = [sys.executable, "-c", START, str(folder / "records"), str(acts)]
    return subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, timeout=60, check=False)


def test_a_start_that_is_killed_leaves_nothing_beside_the_name(tmp_path: Path) -> None:
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


def test_those_that_start_at_once_find_one_name(tmp_path: Path) -> None:
    words = [sys.executable, "-c", START, str(tmp_path / "records"), str(sys.maxsize)]
    starting = [subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(8)]
    names = {each.communicate(timeout=60)[0] for each in starting}
    assert names == {f"{(tmp_path / 'store').read_text()}\n".encode()}
    assert {path.name for path in tmp_path.iterdir()} == {"records", "store"}
