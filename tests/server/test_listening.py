"""One server at an address: a second one is refused with a sentence, and what a dead one left is taken over."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import raw
from onward_process import ROOT
from ports import free_port
from server_process import Server, serving

SHARED = ["1", "2"]  # workers
HEALTH = b"HEAD /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"


def second(folder: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Start a server that has to end by itself."""
    words = [sys.executable, "-m", "server", "serve", f"--data={folder}", *options]
    return subprocess.run(words, cwd=ROOT, capture_output=True, timeout=60, check=False)


@contextmanager
def first(folder: Path, *options: str) -> Iterator[Server]:
    """Run a server whose workers end with it."""
    with serving(folder, options) as server:
        yield server
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(20)


def answers(path: Path) -> bool:
    """Tell whether a server answers at a Unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(raw.PATIENCE)
        connection.connect(str(path))
        connection.sendall(HEALTH)
        return connection.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("workers", SHARED)
@pytest.mark.parametrize("others", SHARED)
def test_a_port_in_use_is_refused(workers: str, others: str, redis_url: str, tmp_path: Path) -> None:
    with first(tmp_path / "data", f"--state={redis_url}", f"--workers={workers}") as server:
        port = server.tus.port
        ended = second(tmp_path / "data", f"--port={port}", f"--state={redis_url}", f"--workers={others}")
        assert (ended.returncode, ended.stdout) == (1, b"")
        assert f"onward: port {port} of 127.0.0.1 is in use\n".encode() in ended.stderr
        assert server.tus.ask("GET", "/healthz").status == 200


def test_two_that_start_at_once_do_not_share_a_port(redis_url: str, tmp_path: Path) -> None:
    options = [f"--port={free_port()}", f"--data={tmp_path}", f"--state={redis_url}", "--workers=2"]
    words = [sys.executable, "-m", "server", "serve", *options]
    both = [subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    try:
        raw.poll(lambda: any(each.poll() is not None for each in both), 40)
        for each in both:
            if each.poll() is None:
                assert each.stdout is not None
                assert each.stdout.readline().startswith(b"listening on")
                each.send_signal(signal.SIGTERM)
        errors = [each.communicate(timeout=20)[1] for each in both]
        assert sorted(each.returncode for each in both) == [0, 1], errors
    finally:
        for each in both:
            each.kill()


@pytest.mark.parametrize("workers", SHARED)
def test_a_unix_socket_in_use_is_refused(workers: str, redis_url: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    options = [f"--unix-socket={path}", f"--state={redis_url}", f"--workers={workers}"]
    with first(tmp_path / "data", *options):
        ended = second(tmp_path / "data", *options)
        assert (ended.returncode, ended.stdout) == (1, b"")
        assert f"onward: another server listens at {path}\n".encode() in ended.stderr
        assert answers(path)


@pytest.mark.parametrize("workers", SHARED)
def test_a_unix_socket_of_a_dead_server_is_taken_over(workers: str, redis_url: str, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    with first(tmp_path / "data", f"--unix-socket={path}", f"--state={redis_url}", f"--workers={workers}"):
        assert answers(path)


def test_what_is_no_socket_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.write_text("of somebody else")
    ended = second(tmp_path / "data", f"--unix-socket={path}")
    assert ended.returncode == 1
    assert path.read_text() == "of somebody else"
