"""More than anybody needs: the server answers or closes, and neither memory nor work grows with it (S11, S13, S14)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from http_connection import PATIENCE, Connection, Headers, Tus
from onward_process import peak_memory
from server_process import Server

OPTIONS = ("--body-idle=1",)
MEMORY = 20 * 2**20
WORK = 2.0  # seconds of a processor
STORED = b"01234"


@contextmanager
def cheap(server: Server) -> Iterator[None]:
    """Check that what happens meanwhile costs the server little."""
    before = _cost(server)
    yield
    seconds, memory = (now - then for now, then in zip(_cost(server), before, strict=True))
    assert seconds < WORK
    assert memory < MEMORY


def _cost(server: Server) -> tuple[float, int]:
    """Give the seconds of work and the peak of memory until now."""
    words = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / 100, peak_memory(server.process.pid)


def flood(connection: Connection, block: bytes = bytes(2**16), most: int = 2**36) -> None:
    """Send until that many bytes are sent or the server closes, which it must."""
    end, sent = time.monotonic() + PATIENCE, 0
    with suppress(ConnectionError):
        while sent < most:
            connection.send(block)
            sent += len(block)
            assert time.monotonic() < end, "the server takes it all"


def begun(tus: Tus) -> str:
    return tus.begun(STORED + b"56789", len(STORED))


def test_chunks_of_one_byte(server: Server) -> None:
    path, data = server.tus.create(50_000), bytes(50_000)
    with cheap(server):
        assert server.tus.patch(path, 0, parts=[b"\0"] * len(data)).status == 204
    server.tus.check_holds(path, data, len(data))


def test_a_chunk_extension_without_an_end(server: Server) -> None:
    path = begun(server.tus)
    chunks: Headers = {"Content-Length": None, "Transfer-Encoding": "chunked"}
    with cheap(server), Connection(server.tus.port) as connection:
        connection.send(server.tus.request("PATCH", path, server.tus.patching(5, chunks)) + b"5;a=")
        flood(connection, b"a" * 2**16, 2**28)
        assert connection.answer().status in (400, 423)
    assert server.tus.offset(path) == len(STORED)


def test_a_header_without_an_end(server: Server) -> None:
    with cheap(server), Connection(server.tus.port) as connection:
        connection.send(b"GET /files HTTP/1.1\r\nX: ")
        flood(connection)


def test_a_thousand_requests_whose_answers_nobody_reads(server: Server) -> None:
    path = begun(server.tus)
    with cheap(server), Connection(server.tus.port) as connection:
        connection.send(server.tus.request("HEAD", path) * 1000)
        assert server.tus.offset(path) == len(STORED)
    assert server.tus.offset(path) == len(STORED)


def test_a_body_that_was_refused_is_not_read_for_long(server: Server) -> None:
    path = begun(server.tus)
    huge: Headers = {"Content-Length": str(10**12)}
    with cheap(server), Connection(server.tus.port) as connection:
        connection.send(server.tus.request("PATCH", path, server.tus.patching(4, huge)))
        answer = connection.answer()
        assert (answer.status, answer["Connection"]) == (409, "close")
        flood(connection)
    assert server.tus.offset(path) == len(STORED)


def test_a_refusal_comes_instead_of_100_continue(tus: Tus) -> None:
    path = begun(tus)
    expect: Headers = {"Expect": "100-continue", "Content-Length": "5"}
    refused: list[tuple[Headers, int]] = [
        (tus.patching(4), 409), (tus.patching(5, {"Content-Length": "6"}), 413), (tus.patching("x"), 400),
        (tus.patching(5, {"Content-Encoding": "gzip"}), 415), (tus.patching(5, {"Tus-Resumable": None}), 412),
        (tus.patching(5, {"Expect": "101-go-on"}), 417),
    ]  # fmt: skip
    for headers, status in refused:
        with Connection(tus.port) as connection:
            connection.send(tus.request("PATCH", path, expect | headers))
            assert connection.answer().status == status
    with Connection(tus.port) as connection:
        connection.send(tus.request("PATCH", path, expect | tus.patching(5)))
        assert connection.answer().status == 100
        connection.send(b"56789")
        assert connection.answer().status == 204
