"""Uploads that wait for a check are published by no server that lacks it, and by no `onward sweep` without its option."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from clamd_process import EICAR, ClamdProcess
from http_connection import Tus, path_of, poll
from server_process import Server, serving

pytestmark = pytest.mark.slow

SOON = "--sweep-every=0.2"
CLEAN = b"a clean file"


def status_of(tus: Tus, path: str) -> str:
    message: dict[str, str] = json.loads(tus.progress(path))
    return message["status"]


def published(data: Path) -> list[bytes]:
    return [file.read_bytes() for file in (data / "files").iterdir()]


def held(tus: Tus) -> list[str]:
    """Upload a clean file, a virus, and a virus in two parts, while the scanner is down; returns their paths."""
    answers = [tus.post({"Upload-Length": str(len(data))}, data) for data in (CLEAN, EICAR)]
    parts = [tus.stored(part, {"Upload-Concat": "partial"}) for part in (EICAR[:30], EICAR[30:])]
    answers.append(tus.post({"Upload-Concat": f"final;{' '.join(parts)}"}))
    assert [answer.status for answer in answers] == [503] * 3
    return [path_of(answer["Location"]) for answer in answers]


def due(server: Server, paths: list[str]) -> None:
    """Wait until the scanner has to be asked again."""
    poll(lambda: all(int(server.tus.head(path)["Retry-After"]) <= 1 for path in paths), within=20)
    time.sleep(1.5)  # the header has whole seconds, and 1 is its least


def check_outcome(tus: Tus, data: Path, paths: list[str]) -> None:
    poll(lambda: [status_of(tus, path) for path in paths] == ["completed", "failed", "failed"], within=30)
    assert published(data) == [CLEAN]


def test_a_server_without_the_scanner_publishes_nothing_that_waits_for_it(tmp_path: Path) -> None:
    clamd, data = ClamdProcess(tmp_path / "clamd"), tmp_path / "data"
    with serving(data, [f"--clamd={clamd.unix}", SOON]) as server:
        paths = held(server.tus)
    log = tmp_path / "other.log"
    with serving(data, [SOON], log=log) as server:
        poll(lambda: log.read_text().count("lacks a check of it: clamd") >= len(paths), within=20)
        assert [server.tus.head(path).status for path in paths] == [423] * 3
        assert [server.tus.patch(path, 0, b"more").status for path in paths[:2]] == [503] * 2
        assert [status_of(server.tus, path) for path in paths] == ["verifying"] * 3
        assert published(data) == []
    clamd.start()
    try:
        with serving(data, [f"--clamd={clamd.unix}", SOON]) as server:
            check_outcome(server.tus, data, paths)
    finally:
        clamd.kill()


@pytest.mark.parametrize("by", ["a node", "onward sweep"])
def test_over_redis_only_who_has_the_scanner_publishes(by: str, redis_url: str, tmp_path: Path) -> None:
    clamd, data = ClamdProcess(tmp_path / "clamd"), tmp_path / "data"
    state = f"--state={redis_url}"
    with serving(data, [state, f"--clamd={clamd.unix}", "--sweep-every=1000"]) as server:
        paths = held(server.tus)
        due(server, paths)
        if by == "a node":
            with serving(data, [state, SOON], log=tmp_path / "other.log"):
                poll(lambda: (tmp_path / "other.log").read_text().count("lacks a check") >= len(paths), within=20)
        else:
            words = [sys.executable, "-m", "onward", "sweep", f"--data={data}", state]
            swept = subprocess.run(words, capture_output=True, text=True, check=True)
            assert swept.stderr.count("lacks a check of it: clamd") == len(paths)
        assert [status_of(server.tus, path) for path in paths] == ["verifying"] * 3
        assert published(data) == []
    clamd.start()
    try:
        with serving(data, [state, f"--clamd={clamd.unix}", SOON]) as server:
            check_outcome(server.tus, data, paths)
    finally:
        clamd.kill()


def test_what_was_interrupted_on_its_way_to_the_scanner_waits_for_it_too(tmp_path: Path) -> None:
    clamd, data = ClamdProcess(tmp_path / "clamd"), tmp_path / "data"
    clamd.start()
    try:
        with serving(data, [f"--clamd={clamd.unix}", SOON]) as server:
            path = server.tus.create(len(EICAR))
            clamd.pause()
            with pytest.raises(AssertionError):  # the server is killed while it asks
                _killed_while_it_asks(server, path)
        assert published(data) == []
        with serving(data, [SOON], log=tmp_path / "other.log") as server:
            poll(lambda: "lacks a check of it: clamd" in (tmp_path / "other.log").read_text(), within=20)
            assert status_of(server.tus, path) == "verifying"
            assert published(data) == []
        clamd.go_on()
        with serving(data, [f"--clamd={clamd.unix}", SOON]) as server:
            poll(lambda: status_of(server.tus, path) == "failed", within=30)
    finally:
        clamd.kill()


def _killed_while_it_asks(server: Server, path: str) -> None:
    def kill() -> None:
        poll(lambda: status_of(server.tus, path) == "verifying")
        server.process.kill()

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        server.tus.patch(path, 0, EICAR)
    finally:
        killing.join()
