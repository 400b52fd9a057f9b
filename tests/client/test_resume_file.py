"""The folder of resume files: what was left there for too long is removed, what is in use is not."""

import fcntl
import os
from dataclasses import replace
from pathlib import Path

from onward.client.file import Identity
from onward.client.journal import open_journal
from onward.client.protocols import TUS
from onward.client.resume_file import KEPT, Part, ResumeState, file_id, lock_file, open_resume_file

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
    assert {name for name in left if name.startswith("new")} == {"new.json"}


def test_what_a_killed_process_left_is_removed_by_the_next_one_and_what_can_be_resumed_stays(tmp_path: Path) -> None:
    held = lock_file(tmp_path / "held.lock")
    for name in ("killed.json", "killed.lock", "killed.new", "alone.new", "held.new", "paused.json"):
        (tmp_path / name).touch()
    with open_resume_file(tmp_path, FILE, "http://127.0.0.1/files"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"killed.json", "paused.json", "held.lock", "held.new"}
    assert held is not None
    os.close(held)


def test_former_versions_of_an_uploaded_file_are_forgotten(tmp_path: Path) -> None:
    target = "http://127.0.0.1/files"
    changed, other = replace(FILE, mtime_ns=2), replace(FILE, path="/other.bin")
    for file, place in ((FILE, target), (changed, target), (other, target), (FILE, "http://127.0.0.1/elsewhere")):
        with open_resume_file(tmp_path, file, place) as resume_file:
            resume_file.save(RECORD)
    with open_resume_file(tmp_path, FILE, target), open_resume_file(tmp_path, changed, target) as resume_file:
        resume_file.supersede()  # another process still sends the former version
    assert len(list(tmp_path.iterdir())) == 3
    with open_resume_file(tmp_path, replace(FILE, size=3), target) as resume_file:
        resume_file.supersede()
    kept = {file_id(other, target), file_id(FILE, "http://127.0.0.1/elsewhere")}
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.json" for name in kept}


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


async def test_the_journal_forgets_former_versions_with_their_file(tmp_path: Path) -> None:
    target = "http://127.0.0.1/files"
    former, now, other = (
        file_id(file, target) for file in (FILE, replace(FILE, size=2), replace(FILE, path="/other.bin"))
    )
    journal = open_journal(tmp_path, target, TUS)
    assert journal is not None
    journal.plan([former, now, other], again=False)
    journal.forget([now])
    await journal.close()
    [path] = tmp_path.iterdir()
    assert [word in path.read_text() for word in (former, now, other)] == [False, False, True]


def test_each_protocol_has_a_resume_file_of_its_own(tmp_path: Path) -> None:
    with (
        open_resume_file(tmp_path, FILE, "http://127.0.0.1/files") as one,
        open_resume_file(tmp_path, FILE, "http://127.0.0.1/files", "ietf") as other,
    ):
        one.save(ResumeState(file="f", parts=(Part(0, 1, "http://127.0.0.1/files/1"),)))
        assert other.load() is None
