"""What clients get wrong is one line of INFO in the log: neither a traceback nor the id of an upload belongs there."""

import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from http_connection import UNKNOWN, Connection, Headers, poll
from server_process import Server, serving

CHUNKED: Headers = {"Transfer-Encoding": "chunked", "Content-Length": None}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "data") as running:
        yield running


def log_of(server: Server) -> str:
    return server.data.with_suffix(".log").read_text()


def test_a_malformed_chunk_is_one_line_and_no_traceback(server: Server) -> None:
    path = server.tus.create(None)
    with Connection(server.tus.port) as connection:
        connection.send(server.tus.request("PATCH", path, server.tus.patching(0, CHUNKED)) + b"5\r\nhello\r\n")
        time.sleep(0.3)  # so that the body is being read
        connection.send(b"no size\r\n")
        assert connection.answer().status == 400
        connection.read_rest()
    poll(lambda: "can't be read" in log_of(server))
    log = log_of(server)
    assert "Traceback" not in log
    assert [line.split()[2] for line in log.splitlines() if "can't be read" in line] == ["INFO"]
    assert not any(word in log for word in ("ERROR", "WARNING"))
    assert server.tus.offset(path) == 5


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE"])
def test_an_unknown_upload_is_a_line_of_information_without_its_whole_id(server: Server, method: str) -> None:
    headers = server.tus.patching(0) if method == "PATCH" else {}
    assert server.tus.ask(method, f"/files/{UNKNOWN}", headers).status == 404
    log = log_of(server)
    assert f"Missing {UNKNOWN[:8]}…" in log
    assert UNKNOWN not in log
    assert {line.split()[2] for line in log.splitlines()} == {"INFO"}


def test_a_request_that_is_broken_in_any_way_is_no_error_of_the_server(server: Server) -> None:
    tus, path = server.tus, server.tus.create(100)
    socket: Headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    for request, rest in (
        (tus.request("PATCH", path, tus.patching(9, CHUNKED)), b"5\r\nhello\r\nno size\r\n"),
        (tus.request("PATCH", path, tus.patching(0, CHUNKED | {"Content-Encoding": "gzip"})), b"zzz\r\n"),
        (tus.request("PATCH", path, tus.patching(0, CHUNKED)), b"ffffffffffffffffffff\r\n"),
        (tus.request("PATCH", path, tus.patching(0, CHUNKED)), b"0\r\nname: " + b"x" * 20_000 + b"\r\n\r\n"),
        (tus.request("PATCH", path, tus.patching(0, {"Content-Length": "9" * 30})), b"x"),
        (tus.request("GET", f"/files/{UNKNOWN}", CHUNKED), b"no size\r\n"),
        (tus.request("GET", f"{path}/progress", socket), b"\xff\xff"),
        (
            tus.request("GET", f"{path}/progress", socket | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}),
            b"\xff" * 9,
        ),
        (tus.request("GET", f"{path}/progress", {"Accept": "text/event-stream"}), b"\x00"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b""),
        (b"GET http://[::1/ HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    ):
        with Connection(tus.port) as connection:
            connection.send(request)
            time.sleep(0.1)  # so that the request is under way
            connection.send(rest)
            time.sleep(0.1)
            connection.reset()
    assert tus.ask("GET", "/healthz").status == 200
    log = log_of(server)
    assert not any(word in log for word in ("Traceback", "ERROR", "WARNING")), log


def test_connections_that_there_are_no_descriptors_for_are_one_line(server: Server) -> None:
    pid = server.process.pid
    used = max(int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir())
    _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 5, most))
    with ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(Connection(server.tus.port))
        poll(lambda: "no connection can be accepted" in log_of(server))
        time.sleep(1.5)  # after a second asyncio tries again
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))
    poll(lambda: server.tus.ask("GET", "/healthz").status == 200)
    log = log_of(server)
    assert log.count("no connection can be accepted") == 1
    assert "Traceback" not in log
