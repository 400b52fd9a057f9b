"""One server at an address: a second one is refused with a sentence, and what a dead one left is taken over."""

import os
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import http_connection as raw
import pytest
from onward_process import ROOT, START_WITHIN
from ports import free_port
from server_process import Server, Start, serving

SHARED = ["1", "2"]  # workers
HEALTH = b"HEAD /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
NOBODY = 65534  # a user without any rights
LOOPBACKS = ("127.0.0.1", "::1")


def second(folder: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Start a server that has to end by itself."""
    words = [sys.executable, "-m", "onward", "serve", f"--data={folder}", *options]
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
        return is_well(connection)


def is_well(connection: socket.socket) -> bool:
    """Tell whether a server answers on a connection."""
    connection.sendall(HEALTH)
    return connection.recv(100).startswith(b"HTTP/1.1 200")


def answers_at(address: str, port: int) -> bool:
    """Tell whether a server answers at an address."""
    try:
        with socket.create_connection((address, port), timeout=raw.PATIENCE) as connection:
            return is_well(connection)
    except ConnectionRefusedError:
        return False


@contextmanager
def listening(
    folder: Path, *options: str, lines: int = 1, environ: Mapping[str, str] | None = None
) -> Iterator[tuple[list[str], subprocess.Popen[bytes]]]:
    """Run a server until the end of the block, and give what it prints before it serves."""
    words = [sys.executable, "-m", "onward", "serve", f"--data={folder}", *options]
    log = folder.with_suffix(".log")
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            words, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, bufsize=0, env={**os.environ, **(environ or {})}
        ) as process,
    ):
        try:
            assert process.stdout is not None
            shown: list[str] = []
            while len(shown) < lines:
                assert select.select([process.stdout], [], [], START_WITHIN)[0], f"no more lines than {shown}"
                shown.append(process.stdout.readline().decode().strip())
                assert shown[-1].startswith("listening on "), log.read_text()
            yield shown, process
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, log.read_text()
        finally:
            process.kill()


def port_in(line: str) -> int:
    """Give the port of a line that a server prints."""
    return int(line.rpartition(":")[2].partition("/")[0])


@pytest.mark.parametrize("workers", SHARED)
@pytest.mark.parametrize(
    ("hosts", "shown", "served"),
    [
        ([""], "[::]", LOOPBACKS),
        (["::"], "[::]", LOOPBACKS),
        (["0.0.0.0"], "0.0.0.0", LOOPBACKS[:1]),
        (["::1"], "[::1]", LOOPBACKS[1:]),
        (["[::1]"], "[::1]", LOOPBACKS[1:]),
        (["localhost"], "localhost", LOOPBACKS[:1]),
    ],
)
def test_a_host_serves_the_addresses_that_it_stands_for(
    workers: str, hosts: list[str], shown: str, served: tuple[str, ...], redis_url: str, tmp_path: Path
) -> None:
    options = [f"--host={host}" for host in hosts] + [f"--workers={workers}", f"--state={redis_url}", "--port=0"]
    with listening(tmp_path / "data", *options) as ((line,), _):
        assert line == f"listening on http://{shown}:{port_in(line)}/files"
        answering = {address for address in LOOPBACKS if answers_at(address, port_in(line))}
        assert answering >= set(served)
        assert hosts == ["localhost"] or answering == set(served)


@pytest.mark.parametrize("workers", SHARED)
def test_several_hosts_share_a_port_and_have_a_line_each(workers: str, redis_url: str, tmp_path: Path) -> None:
    options = ["--host=127.0.0.1", "--host=::1", f"--workers={workers}", f"--state={redis_url}", "--port=0"]
    with listening(tmp_path / "data", *options, lines=2) as (lines, _):
        port = port_in(lines[0])
        assert lines == [f"listening on http://{host}:{port}/files" for host in ("127.0.0.1", "[::1]")]
        assert all(answers_at(address, port) for address in LOOPBACKS)


def test_a_host_that_another_one_covers_is_served_once(tmp_path: Path) -> None:
    options = ["--host=127.0.0.1", "--host=::", "--host=0.0.0.0", "--port=0", "--state=memory:"]
    with listening(tmp_path / "data", *options, lines=3) as (lines, _):
        assert all(answers_at(address, port_in(lines[0])) for address in LOOPBACKS)
        assert len({port_in(line) for line in lines}) == 1


def test_a_peer_over_all_addresses_is_known_by_its_own_address(tmp_path: Path) -> None:
    options = ["--host=::", "--port=0", "--state=memory:", "--trusted-proxies=127.0.0.1"]
    with listening(tmp_path / "data", *options) as ((line,), _):
        headers: raw.Headers = {"Upload-Length": "1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "app.example"}
        answer = raw.Tus(port_in(line)).post(headers)
        assert answer["Location"].startswith("https://app.example/files/")


@pytest.mark.parametrize(("option", "mode"), [((), 0o666), (("--socket-mode=0600",), 0o600)])
@pytest.mark.parametrize("workers", SHARED)
def test_a_proxy_of_another_user_may_connect_to_a_unix_socket(
    workers: str, option: tuple[str, ...], mode: int, redis_url: str, tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "socket"
        path.parent.chmod(0o755)
        options = [f"--unix-socket={path}", f"--state={redis_url}", f"--workers={workers}", *option]
        with listening(tmp_path / "data", *options) as ((line,), _):
            assert line == f"listening on unix:{path}/files"
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert answers(path)
            if os.geteuid() == 0:
                connect = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
                visit = subprocess.run(["python3", "-c", connect], user=NOBODY, check=False, capture_output=True)
                assert (visit.returncode == 0) == bool(mode & 0o002), visit.stderr


def test_the_service_links_of_kubernetes_do_not_stop_the_start_and_have_one_line(tmp_path: Path) -> None:
    links = {"ONWARD_SERVICE_HOST": "10.96.12.3", "ONWARD_SERVICE_PORT": "8080", "ONWARD_PORT": "tcp://10.96.12.3:8080"}
    with listening(tmp_path / "data", f"--port={free_port()}", "--state=memory:", environ=links) as ((line,), _):
        assert answers_at("127.0.0.1", port_in(line))
    lines = [line for line in (tmp_path / "data.log").read_text().splitlines() if "ONWARD_" in line]
    assert len(lines) == 1
    assert lines[0].endswith("that are not options: ONWARD_PORT, ONWARD_SERVICE_HOST, ONWARD_SERVICE_PORT")


def test_an_idle_connection_is_closed_after_keep_alive(start: Start) -> None:
    kept, closed = start("--keep-alive=1h").tus, start("--keep-alive=300ms").tus
    with raw.Connection(kept.port) as long, raw.Connection(closed.port) as short:
        for connection, tus in ((long, kept), (short, closed)):
            connection.send(tus.request("OPTIONS", tus.files))
            assert connection.answer().status == 204
        assert short.read_rest() == b""
        assert not long.has_answer()


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
    words = [sys.executable, "-m", "onward", "serve", *options]
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
