"""When no more threads can be started, requests are answered, nothing is lost, and the server can be stopped."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_connection import Connection, poll
from server_process import Server, serving

SIZE = 2**20
PROGRAM = Path(__file__).parents[1] / "support" / "few_threads_server.py"


@pytest.fixture
def exhausted(tmp_path: Path) -> Path:
    """The file that stands for a system without threads, as long as it is there."""
    return tmp_path / "exhausted"


@pytest.fixture
def server(tmp_path: Path, exhausted: Path) -> Iterator[Server]:
    options = ("--body-idle=2", "--lease-wait=1", "--drain=2")
    with serving(tmp_path / "data", options, program=(str(PROGRAM), str(exhausted))) as running:
        yield running


def test_an_upload_is_hashed_by_the_thread_that_receives_it_if_there_is_no_other(
    server: Server, exhausted: Path
) -> None:
    data = os.urandom(SIZE)
    path = server.tus.begun(data, 1000)  # a small body needs no thread that hashes
    exhausted.touch()
    assert server.tus.patch(path, 1000, data[1000:]).status == 204
    assert server.published(path) == data
    assert server.tus.ask("GET", path).status == 503
    exhausted.unlink()
    assert server.tus.ask("GET", path).body == data
    server.tus.stored(os.urandom(SIZE))


def test_without_any_thread_an_upload_is_refused_and_goes_on_later(server: Server, exhausted: Path) -> None:
    data = os.urandom(SIZE)
    path = server.tus.create(SIZE)
    exhausted.touch()
    refused = server.tus.patch(path, 0, data)
    assert (refused.status, refused["Retry-After"]) == (503, "1")
    assert server.tus.offset(path) == 0
    exhausted.unlink()
    assert server.tus.patch(path, 0, data).status == 204
    assert server.published(path) == data


def test_a_server_stops_without_a_new_thread(server: Server, exhausted: Path) -> None:
    server.tus.begun(os.urandom(SIZE), 1000)
    exhausted.touch()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0


def test_a_stop_that_hangs_is_ended_in_time_without_a_new_thread(server: Server, exhausted: Path) -> None:
    path = server.tus.create(SIZE)
    exhausted.with_suffix(".hung").touch()
    with Connection(server.tus.port) as connection:
        headers = server.tus.patching(0, {"Content-Length": str(SIZE)})
        connection.send(server.tus.request("PATCH", path, headers) + bytes(SIZE // 2))
        poll(lambda: sum(file.stat().st_size for file in server.bytes_of(path)) == SIZE // 2)
        exhausted.touch()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 1


def test_a_server_that_has_no_thread_at_its_start_says_so(tmp_path: Path, exhausted: Path) -> None:
    exhausted.touch()
    log = tmp_path / "log"
    with pytest.raises(AssertionError), serving(tmp_path / "data", program=(str(PROGRAM), str(exhausted)), log=log):
        pass
    assert "onward: no thread can be started" in log.read_text()
    assert "Traceback" not in log.read_text()
