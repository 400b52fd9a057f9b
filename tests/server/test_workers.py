"""Several processes behind one address: one may die, none is left over, and uploads go on."""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path

import http_connection as raw
import pytest
from http_connection import Connection
from onward_process import ROOT
from server_process import Server, serving
from token_maker import OwnKey, bearer

SIZE = 2**20
LARGE = 2**25  # bytes that no socket takes at once
PATIENCE = 20.0
ESTABLISHED = "01"  # in /proc/net/tcp


@pytest.fixture
def server(redis_url: str, tmp_path: Path) -> Iterator[Server]:
    """Two workers; they end with their parent."""
    with serving(tmp_path / "data", [f"--state={redis_url}", "--workers=2"]) as running:
        yield running
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(PATIENCE)


def test_workers_and_a_second_node_with_the_same_data_share_one_key(redis_url: str, tmp_path: Path) -> None:
    data, logs = tmp_path / "data", [tmp_path / "one.log", tmp_path / "two.log"]

    def node(log: Path, workers: int) -> AbstractContextManager[Server]:
        return serving(data, [f"--state={redis_url}", "--auth=key", f"--workers={workers}"], log=log)

    with ThreadPoolExecutor(2) as threads, ExitStack() as stack:
        one, other = threads.map(stack.enter_context, [node(logs[0], 2), node(logs[1], 1)])  # they start at once
        token = bearer(OwnKey(data / "auth.key").token())
        path = one.tus.create(3, token)
        heads = [server.tus.head for server in (one, other) for _ in range(20)]
        assert {answer.status for answer in threads.map(lambda head: head(path, token), heads)} == {200}
        assert {head(path).status for head in heads} == {401}
        one.process.send_signal(signal.SIGTERM)
        one.process.wait(PATIENCE)
    assert sum(log.read_text().count("made the key") for log in logs) == 1


def workers(server: Server) -> list[int]:
    """Give the process ids of the workers."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def handles_a_stop(pid: int) -> bool:
    """Tell whether a worker has come so far that a stop doesn't kill it."""
    caught = re.search(r"^SigCgt:\s+(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def worker_of(server: Server, connection: Connection) -> int:
    """Give the worker that has a connection."""
    port = connection._socket.getsockname()[1]
    for pid in workers(server):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = os.readlink(link)
                if target.startswith("socket:") and _inode(port) == target[8:-1]:
                    return pid
    raise AssertionError("no worker has it")


def refused(port: int) -> bool:
    """Tell whether a new connection is refused."""
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


def _inode(port: int) -> str:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == ESTABLISHED and int(fields[2].partition(":")[2], 16) == port:
            return fields[9]
    return ""


def test_connections_are_spread_and_share_their_uploads(server: Server) -> None:
    data = os.urandom(SIZE)
    seen: set[int] = set()
    for _ in range(40):
        with Connection(server.tus.port) as connection:
            connection.send(server.tus.request("HEAD", "/healthz"))
            connection.answer("HEAD")
            seen.add(worker_of(server, connection))
    assert seen == set(workers(server))
    path = server.tus.create(SIZE)
    for at in range(0, SIZE, SIZE // 16):
        assert server.tus.patch(path, at, data[at : at + SIZE // 16]).status == 204
    assert (server.data / "files" / path.rpartition("/")[2]).read_bytes() == data


def test_a_worker_that_dies_is_replaced_and_its_upload_goes_on(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "PATIENCE", PATIENCE)
    data, path = os.urandom(SIZE), server.tus.create(SIZE)
    before = workers(server)
    with Connection(server.tus.port) as connection:
        head = server.tus.patching(0, {"Content-Length": str(SIZE)})
        connection.send(server.tus.request("PATCH", path, head) + data[: SIZE // 2])
        raw.poll(lambda: bool(server.bytes_of(path)))
        os.kill(worker_of(server, connection), signal.SIGKILL)
    raw.poll(lambda: len(workers(server)) == 2 and workers(server) != before, PATIENCE)
    end = time.monotonic() + PATIENCE
    while (answer := server.tus.head(path)).status != 200:
        assert time.monotonic() < end
    offset = int(answer["Upload-Offset"])
    assert server.tus.patch(path, offset, data[offset:]).status == 204
    assert (server.data / "files" / path.rpartition("/")[2]).read_bytes() == data


def test_a_stop_ends_them_all(server: Server) -> None:
    pids = workers(server)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE) == 0
    assert not any(alive(pid) for pid in pids)


def test_who_connects_during_a_stop_is_refused(server: Server) -> None:
    pids, path = workers(server), server.tus.stored(os.urandom(LARGE))
    with Connection(server.tus.port) as reading:
        reading.send(server.tus.request("GET", path))
        raw.poll(reading.has_answer)
        server.process.send_signal(signal.SIGTERM)
        raw.poll(lambda: refused(server.tus.port))
        assert any(alive(pid) for pid in pids), "only once nobody was left"


def test_they_end_with_a_parent_that_is_killed(server: Server) -> None:
    pids = workers(server)
    server.process.kill()
    raw.poll(lambda: not any(alive(pid) for pid in pids), PATIENCE)


def test_a_worker_that_can_not_be_started_again_is_started_later_and_the_others_stay(
    redis_url: str, tmp_path: Path
) -> None:
    exhausted = tmp_path / "exhausted"
    program = (str(ROOT / "tests" / "support" / "few_processes_server.py"), str(exhausted))
    with serving(tmp_path / "data", [f"--state={redis_url}", "--workers=2"], program=program) as server:
        dying, staying = workers(server)
        exhausted.touch()
        os.kill(dying, signal.SIGKILL)
        raw.poll(exhausted.with_suffix(".refused").exists, PATIENCE)
        time.sleep(0.5)
        assert (server.process.poll(), workers(server)) == (None, [staying])
        exhausted.unlink()
        raw.poll(lambda: len(workers(server)) == 2 and all(map(handles_a_stop, workers(server))), PATIENCE)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("state", ["sqlite:", "redis://127.0.0.1:1"])
def test_what_can_not_be_is_refused(state: str, tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "onward",
        "serve",
        "--port=0",
        f"--data={tmp_path}",
        f"--state={state}",
        "--workers=2",
    ]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert ended.returncode == (2 if state == "sqlite:" else 1)
    assert (b"need a state that processes share" if state == "sqlite:" else b"Redis") in ended.stderr
    assert b"listening" not in ended.stdout
