"""The server under systemd: it takes the sockets that it is passed, tells when it is ready, and may be restarted under load."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from http_connection import Tus, poll
from onward_process import ROOT, START_WITHIN

from onward.server.config import ConfigError
from onward.server.systemd import inherited_listeners

# Does what systemd does: the sockets become descriptors 3, 4, …, and the variables name the process that they are for.
LAUNCHER = """
import fcntl, os, sys
owner, passed, *words = sys.argv[1:]
passed = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 100) for number in passed.split(",")]
for place, number in enumerate(passed, 3):
    os.dup2(number, place)
os.environ |= {"LISTEN_FDS": str(len(passed)), "LISTEN_PID": owner if owner != "own" else str(os.getpid())}
os.execv(sys.executable, [sys.executable, "-m", "onward", "serve", *words])
"""
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
CREATION = b"POST /files HTTP/1.1\r\nHost: t\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 9\r\nConnection: close\r\n\r\n"


def launch(sockets: Sequence[socket.socket], data: Path, *options: str, owner: str = "own") -> subprocess.Popen[bytes]:
    """Start a server with these sockets at the descriptors from 3 on."""
    passed = [each.fileno() for each in sockets]
    words = [sys.executable, "-c", LAUNCHER, owner, ",".join(map(str, passed)), f"--data={data}", *options]
    with data.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, pass_fds=passed, bufsize=0)


def line_of(server: subprocess.Popen[bytes]) -> str:
    """Give the next line that a server prints."""
    assert server.stdout is not None
    assert select.select([server.stdout], [], [], START_WITHIN)[0], "the server prints nothing"
    return server.stdout.readline().decode().strip()


def stop(server: subprocess.Popen[bytes]) -> None:
    """Stop a server, as systemd does with KillMode=mixed."""
    server.send_signal(signal.SIGTERM)
    assert server.wait(20) == 0


@contextmanager
def ended(server: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Kill a server at the end, if it still runs."""
    try:
        yield server
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def answer(address: tuple[str, int] | str, request: bytes = HEALTH) -> bytes:
    """Send a request on a new connection, and give the whole answer."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as connection:
        connection.settimeout(START_WITHIN)
        connection.connect(address)
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("workers", [1, 2])
def test_the_sockets_of_a_socket_unit_are_used_and_stay_open(workers: int, redis_url: str, tmp_path: Path) -> None:
    path = str(tmp_path / "onward.sock")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path)
        unix.listen()
        port = tcp.getsockname()[1]
        options = [f"--state={redis_url}", f"--workers={workers}", "--port=1"]  # port 1 is not listened on
        for _ in range(2):
            with ended(launch([tcp, unix], tmp_path / "data", *options)) as server:
                assert line_of(server) == f"listening on http://127.0.0.1:{port}/files"
                assert line_of(server) == f"listening on unix:{path}/files"
                assert answer(("127.0.0.1", port)).startswith(b"HTTP/1.1 200")
                assert answer(path).startswith(b"HTTP/1.1 200")
                stop(server)
        assert Path(path).is_socket()


def test_sockets_that_are_meant_for_another_process_are_not_taken(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        ended(launch([tcp], tmp_path / "data", "--port=0", owner=str(os.getpid()))) as server,
    ):
        assert line_of(server) != f"listening on http://127.0.0.1:{tcp.getsockname()[1]}/files"


def test_a_socket_that_accepts_no_connections_is_named(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        ended(launch([datagrams], tmp_path / "data")) as server,
    ):
        assert server.wait(START_WITHIN) == 2
    assert "LISTEN_FDS: descriptor 3 does not accept connections" in (tmp_path / "data.log").read_text()


@pytest.mark.parametrize("count", ["", "-1", "1e3", "\N{FULLWIDTH DIGIT ONE}", "two"])
def test_a_number_of_sockets_that_is_none_is_named(count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", count)
    with pytest.raises(ConfigError, match=f"^LISTEN_FDS: '{count}' is not a number of sockets"):
        inherited_listeners()


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_once_connections_are_accepted(abstract: bool, tmp_path: Path) -> None:
    path = f"@onward-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, socket.create_server(("127.0.0.1", 0)) as tcp:
        told.bind(path.replace("@", "\0"))
        told.settimeout(START_WITHIN)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NOTIFY_SOCKET", path)
            running = launch([tcp], tmp_path / "data")
        with ended(running) as server:
            assert told.recv(100) == b"READY=1"
            assert answer(tcp.getsockname()).startswith(b"HTTP/1.1 200")
            stop(server)


def test_a_notification_that_nobody_takes_is_only_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        ended(launch([tcp], tmp_path / "data")) as server,
    ):
        line_of(server)
        assert answer(tcp.getsockname()).startswith(b"HTTP/1.1 200")
        stop(server)
    assert "systemd can't be told that the server is ready" in (tmp_path / "data.log").read_text()


class Clients:
    """Four clients that create uploads, one after another, until the end of the block."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self.refused: list[str] = []
        self.created: list[str] = []
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._create) for _ in range(4)]

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def wait_for(self, more: int) -> None:
        """Wait until so many more uploads are created."""
        enough = len(self.created) + more
        poll(lambda: len(self.created) >= enough)

    def end(self) -> None:
        """Let each finish what it has begun."""
        self._enough.set()
        for thread in self._threads:
            thread.join(START_WITHIN)

    def _create(self) -> None:
        while not self._enough.is_set():
            try:
                reply = answer(self._address, CREATION)
            except ConnectionRefusedError as error:
                self.refused.append(str(error))
            except ConnectionResetError:
                continue  # the server that stopped had accepted it; a client repeats it
            else:
                if reply.startswith(b"HTTP/1.1 201"):
                    self.created.append(reply.partition(b"Location: ")[2].split()[0].decode())


def test_no_connection_is_refused_while_the_server_is_restarted_under_load(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as tcp, Clients(tcp.getsockname()) as clients:
        for _ in range(3):
            with ended(launch([tcp], tmp_path / "data")) as server:
                line_of(server)
                clients.wait_for(30)
                stop(server)
        with ended(launch([tcp], tmp_path / "data")) as server:
            line_of(server)
            clients.end()  # while a server runs, so that all are answered
            tus = Tus(tcp.getsockname()[1], "/files")
            assert all(tus.head(each).status == 200 for each in (clients.created[0], clients.created[-1]))
    assert clients.refused == []
