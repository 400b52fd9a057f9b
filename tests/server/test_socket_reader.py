"""A large plain body goes past aiohttp, and the connection is as good as before; whatever cuts it short, all counts."""

import asyncio
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import http_connection as raw
import pytest
from http_connection import Connection
from onward_process import PROGRAM, ROOT
from server_process import Server, Start, serving

from onward.protocol.model import Licence
from onward.server.http.transport.socket_reader import SocketReader
from onward.server.uploads.body_writer import BodyThreads, BodyWriter

SIZE = 2**22
SOME = 2**20
GOOD_START = 100_000  # bytes after which a thread waits for more, and which are no whole block


PROGRAMS = {
    "past aiohttp": PROGRAM,
    "through its stream": (str(ROOT / "tests" / "support" / "reduced_aiohttp_server.py"), "FAST"),
}


@pytest.fixture(params=PROGRAMS)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Servers as they are, and as they are where aiohttp lacks what reading past it needs."""
    with ExitStack() as stack:
        program = PROGRAMS[request.param]
        yield lambda *options, files="/files": stack.enter_context(
            serving(tmp_path / "data", options, files=files, program=program)
        )


def head_of(server: Server, path: str, offset: int, size: int) -> bytes:
    """Write the head of a PATCH whose body is sent apart."""
    return server.tus.request("PATCH", path, server.tus.patching(offset, {"Content-Length": str(size)}))


def stored(server: Server, path: str) -> bytes:
    return (server.data / "files" / path.rpartition("/")[2]).read_bytes()


def test_requests_follow_on_the_same_connection_also_those_sent_along(start: Start) -> None:
    server, data = start(), os.urandom(SIZE)
    path, half = server.tus.create(SIZE), SIZE // 2
    with Connection(server.tus.port) as connection:
        connection.send(head_of(server, path, 0, half) + data[:half] + server.tus.request("HEAD", path))
        assert connection.answer().status == 204
        assert connection.answer("HEAD")["Upload-Offset"] == str(half)
        connection.send(head_of(server, path, half, half) + data[half:])
        assert connection.answer().status == 204
        connection.send(server.tus.request("HEAD", path))
        assert connection.answer("HEAD")["Upload-Offset"] == str(SIZE)
    assert stored(server, path) == data


@pytest.mark.parametrize("how", ["finish", "reset"])
def test_what_arrived_before_the_connection_was_lost_counts(start: Start, how: str) -> None:
    server, data = start(), os.urandom(SIZE)
    path = server.tus.create(SIZE)
    with Connection(server.tus.port) as connection:
        connection.send(head_of(server, path, 0, SIZE) + data[:SOME])
        raw.poll(lambda: sum(file.stat().st_size for file in server.bytes_of(path)) == SOME)
        getattr(connection, how)()
    offset = server.tus.offset(path)
    assert offset == SOME
    assert server.tus.patch(path, offset, data[offset:]).status == 204
    assert stored(server, path) == data


def test_a_rival_ends_it_and_its_client_is_answered(start: Start) -> None:
    server, data = start(), os.urandom(SIZE)
    path = server.tus.create(SIZE)
    with Connection(server.tus.port) as connection:
        connection.send(head_of(server, path, 0, SIZE) + data[:SOME])
        raw.poll(lambda: bool(server.bytes_of(path)))
        assert server.tus.offset(path) <= SOME
        connection.send(data[SOME : 2 * SOME])  # as a client would that doesn't know yet
        assert connection.answer().status == 423
        connection.read_rest()
    offset = server.tus.offset(path)
    assert server.tus.patch(path, offset, data[offset:]).status == 204
    assert stored(server, path) == data


def test_a_body_in_drips_is_stored_as_it_comes(start: Start) -> None:
    server, data = start(), os.urandom(SIZE)
    path = server.tus.create(SIZE)
    with Connection(server.tus.port) as connection:
        connection.send(head_of(server, path, 0, SIZE))
        for at in range(0, SOME, SOME // 8):
            connection.send(data[at : at + SOME // 8])
            time.sleep(0.1)
        connection.send(data[SOME:])
        assert connection.answer().status == 204
    assert stored(server, path) == data


def test_who_drips_after_a_good_start_is_ended_by_a_rival(start: Start) -> None:
    server = start("--lease-wait=3")
    path = server.tus.create(SIZE)
    with Connection(server.tus.port) as connection, ThreadPoolExecutor(1) as rival:
        connection.send(head_of(server, path, 0, SIZE) + bytes(GOOD_START))
        offset: Future[int] | None = None
        for drip in range(SIZE):
            connection.send(b".")
            time.sleep(0.001)
            if drip == 100:
                offset = rival.submit(server.tus.offset, path)
            if offset is not None and offset.done():
                break
        assert offset is not None
        assert offset.result() >= GOOD_START


def test_silence_ends_it(start: Start) -> None:
    server, data = start("--body-idle=0.5"), os.urandom(SIZE)
    path = server.tus.create(SIZE)
    with Connection(server.tus.port) as connection:
        connection.send(head_of(server, path, 0, SIZE) + data[:SOME])
        assert connection.answer().status == 423
    assert server.tus.offset(path) == SOME


def test_a_stop_cuts_it_and_nothing_is_lost(start: Start) -> None:
    server, data = start(), os.urandom(SIZE)
    path = server.tus.create(SIZE)
    with Connection(server.tus.port) as connection:
        connection.send(head_of(server, path, 0, SIZE) + data[:SOME])
        raw.poll(lambda: bool(server.bytes_of(path)))
        server.process.send_signal(signal.SIGTERM)
        assert connection.answer().status == 503
        assert server.process.wait(10) == 0


def test_descriptors_are_given_back(start: Start) -> None:
    server, data = start(), os.urandom(SIZE)
    descriptors = Path(f"/proc/{server.process.pid}/fd")
    server.tus.stored(data)
    before = len(list(descriptors.iterdir()))
    for _ in range(10):
        server.tus.stored(data)
    raw.poll(lambda: len(list(descriptors.iterdir())) <= before)


async def test_a_peer_that_the_kernel_gives_up_on_is_a_lost_connection() -> None:
    loop, threads = asyncio.get_running_loop(), BodyThreads()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        taken, _ = listener.accept()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=taken)
        socket_reader = SocketReader(transport)
        socket_reader.begin(b"before", SOME)
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 100)
        with suppress(BlockingIOError):
            while True:  # to a peer that reads nothing, so that something waits for it
                taken.send(bytes(SOME))
        await socket_reader.readable()
        body_writer = BodyWriter(threads, lambda block, at: None, Licence(start=0, end=SOME, checksum=None), ())
        await body_writer.run(lambda: socket_reader.draw(body_writer, SOME, 1, lambda: False))
        assert (body_writer.position, socket_reader.lost) == (len(b"before"), True)
        socket_reader.close()
        transport.abort()
    threads.close()


def test_without_descriptors_it_is_refused_and_goes_on_later(start: Start) -> None:
    server, data = start(), os.urandom(SIZE)
    path = server.tus.begun(data, 1000)
    with Connection(server.tus.port) as connection:
        connection.send(server.tus.request("HEAD", path))
        connection.answer("HEAD")
        _, most = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, most))
        connection.send(head_of(server, path, 1000, SIZE - 1000) + data[1000:])
        assert connection.answer().status == 503
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (most, most))
    assert server.tus.patch(path, 1000, data[1000:]).status == 204
    assert stored(server, path) == data
