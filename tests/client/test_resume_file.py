"""The folder of resume files: what was left there for too long is removed, what is in use is not."""

import fcntl
import os
from pathlib import Path

from onward.client.file import Identity
from onward.client.resume_file import KEPT, Part, ResumeState, open_resume_file

FILE = Identity(path="/some.bin", size=1, mtime_ns=1, inode=1)
RECORD = ResumeState("some.bin", (Part(0, 1, "http://127.0.0.1/files/1"),))


def test_what_was_left_long_ago_is_removed(tmp_path: Path) -> None:
    old, new = (tmp_path / name for name in ("old", "new"))
    for path in (old, new):
        for suffix in (".json", ".lock", ".new"):
            path.with_suffix(suffix).touch()
    for suffix in (".json", ".lock", ".new"):
        before = old.with_suffix(suffix).stat().st_mtime - KEPT - 60
        os.utime(old.with_suffix(suffix), (before, before))
    with open_resume_file(tmp_path, FILE, "http://127.0.0.1/files"):
        left = {path.name for path in tmp_path.iterdir()}
    assert {name for name in left if name.startswith("old")} == set()
    assert {name for name in left if name.startswith("new")} == {"new.json", "new.lock", "new.new"}


def test_a_lock_that_is_held_stays_however_old_it_is(tmp_path: Path) -> None:
    held = tmp_path / "held.lock"
    with held.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.utime(held, (0, 0))
        with open_resume_file(tmp_path, FILE, "http://127.0.0.1/files"):
            assert held.exists()
    with open_resume_file(tmp_path, FILE, "http://127.0.0.1/files"):
        assert not held.exists()


def test_a_lock_that_a_kill_left_holds_nobody_up(tmp_path: Path) -> None:
    with open_resume_file(tmp_path, FILE, "http://127.0.0.1/files") as resume_file:
        resume_file.save(RECORD)
        [lock] = tmp_path.glob("*.lock")
    lock.touch()
    with open_resume_file(tmp_path, FILE, "http://127.0.0.1/files") as resume_file:
        assert resume_file.load() == RECORD
    assert not lock.exists()


def test_each_protocol_has_a_resume_file_of_its_own(tmp_path: Path) -> None:
    with (
        open_resume_file(tmp_path, FILE, "http://127.0.0.1/files") as one,
        open_resume_file(tmp_path, FILE, "http://127.0.0.1/files", "ietf") as other,
    ):
        one.save(ResumeState(file="f", parts=(Part(0, 1, "http://127.0.0.1/files/1"),)))
        assert other.load() is None
