"""A server is killed, or suspended, in the middle of a creation with a key: whoever repeats it finds one upload."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from http_connection import Answer, Connection, Tus
from redis_process import RedisProcess
from server_process import Server, serving

STRUCK = """
import os, sys
from onward.__main__ import main
from onward.storage import failpoints

def strike(name):
    if name == {point!r}:
        failpoints.armed = None
        os.kill(os.getpid(), {signal})
failpoints.armed = strike
sys.exit(main())
"""
CREATED = {"Upload-Length": "5", "Idempotency-Key": "key"}


@contextmanager
def struck(data: Path, *options: str, point: str, by: signal.Signals = signal.SIGKILL) -> Iterator[Server]:
    """Run a server that is struck by a signal when it comes to a point."""
    program = ("-c", STRUCK.format(point=point, signal=int(by)))
    with serving(data, options, program=program, log=data.with_suffix(".struck.log")) as server:
        yield server


def create(tus: Tus) -> Answer:
    """Create an upload with the key."""
    with Connection(tus.port) as connection:
        connection.send(tus.request("POST", "/files", {**CREATED, "Connection": "close"}))
        return connection.answer()


def ids(answers: list[Answer]) -> set[str]:
    """Give the ids of the uploads that answers speak of."""
    assert {answer.status for answer in answers} == {201}
    return {answer["Location"].rpartition("/")[2] for answer in answers}


@pytest.mark.parametrize("point", ["bound", "created"])
def test_a_creation_that_was_killed_is_repeated_as_one_upload(tmp_path: Path, point: str) -> None:
    data = tmp_path / "data"
    with struck(data, point=point) as server:
        with pytest.raises((AssertionError, ConnectionError)):
            create(server.tus)
        assert server.process.wait(10) == -signal.SIGKILL
    with serving(data) as server, ThreadPoolExecutor(10) as pool:
        assert len(ids(list(pool.map(create, [server.tus] * 10)))) == 1
        assert server.count_records() == 1


@pytest.mark.parametrize("point", ["bound", "created"])
def test_another_node_goes_on_with_a_creation_that_was_killed(
    tmp_path: Path, redis_url: str, redis_process: RedisProcess, point: str
) -> None:
    data, state = tmp_path / "data", f"--state={redis_url}"
    with serving(data, [state]) as other, struck(data, state, point=point) as server:
        with pytest.raises((AssertionError, ConnectionError)):
            create(server.tus)
        assert server.process.wait(10) == -signal.SIGKILL
        with ThreadPoolExecutor(10) as pool:
            found = ids(list(pool.map(create, [other.tus] * 10)))
        assert {path.name for path in (data / "records").iterdir()} == found
        assert len(found) == 1
        redis_process.flush()
        assert ids([create(other.tus)]) == found


def test_a_node_that_was_suspended_in_a_creation_finds_what_another_node_has_made(
    tmp_path: Path, redis_url: str
) -> None:
    data, state = tmp_path / "data", f"--state={redis_url}"
    with ExitStack() as stack:
        other = stack.enter_context(serving(data, [state]))
        server = stack.enter_context(struck(data, state, point="bound", by=signal.SIGSTOP))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        waiting: Future[Answer] = pool.submit(create, server.tus)
        while Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert not waiting.done()
        made = create(other.tus)
        os.kill(server.process.pid, signal.SIGCONT)
        assert len(ids([made, waiting.result(15)])) == 1
        assert len(list((data / "records").iterdir())) == 1
