"""What one answer leaves for the next: no body where none may be, nothing read after broken framing, no stalled reader."""

import time
from itertools import product
from pathlib import Path

import pytest
from http_connection import Connection, Headers, Tus
from onward_process import peak_memory
from server_process import Server, Start

DATA = b"the body of a download"
METHODS = ("GET", "HEAD", "OPTIONS", "PATCH", "POST", "DELETE", "PUT")
BROKEN: dict[str, tuple[str, Headers, bytes]] = {
    "a coded transfer": ("HTTP/1.1", {"Content-Length": None, "Transfer-Encoding": "gzip, chunked"}, b"0\r\n\r\n"),
    "chunks in HTTP/1.0": (
        "HTTP/1.0", {"Content-Length": None, "Transfer-Encoding": "chunked", "Connection": "keep-alive"}, b"0\r\n\r\n",
    ),
    "a Host that is none": ("HTTP/1.1", {"Host": "a b"}, b""),
}  # fmt: skip


@pytest.mark.parametrize(("method", "override"), list(product(METHODS, METHODS)))
def test_an_answer_to_an_overridden_method_ends_where_it_should(tus: Tus, method: str, override: str) -> None:
    path = tus.stored(DATA)
    with Connection(tus.port) as connection:
        connection.send(tus.request(method, path, {"X-HTTP-Method-Override": override, "Content-Length": "0"}))
        connection.answer(method)
        connection.send(tus.request("OPTIONS", tus.files))
        assert connection.answer().status == 204, "the answer before has bytes of its own"


@pytest.mark.parametrize(("version", "headers", "body"), BROKEN.values(), ids=BROKEN.keys())
def test_nothing_after_broken_framing_is_a_request(tus: Tus, version: str, headers: Headers, body: bytes) -> None:
    path = tus.stored(DATA)
    with Connection(tus.port) as connection:
        first = tus.request("PATCH", path, tus.patching(0, headers)).replace(b"HTTP/1.1", version.encode(), 1)
        connection.send(first + body + tus.request("DELETE", path))
        assert connection.answer().status == 400
        assert connection.read_rest() == b""
    assert tus.ask("GET", path).body == DATA


def test_a_line_in_the_log_is_one_line(server: Server) -> None:
    server.tus.ask("GET", "/%0aFAKE%20LINE")
    server.tus.ask("GET", "/a%0d%0aFAKE")
    log = server.data.with_suffix(".log").read_text()
    assert "FAKE" in log
    assert not any(line.startswith("FAKE") for line in log.splitlines())


def test_downloads_that_nobody_reads_hold_little_and_no_stop_up(start: Start) -> None:
    server = start("--drain=1")
    tus, data = server.tus, bytes(2**24)
    path = tus.stored(data)
    before = peak_memory(server.process.pid)
    readers = [Connection(tus.port) for _ in range(60)]
    for reader in readers:
        reader.send(tus.request("GET", path))
        reader.read(1)
    time.sleep(0.5)
    assert peak_memory(server.process.pid) - before < 60 * 2**20
    began = time.monotonic()
    server.process.terminate()
    assert server.process.wait(10) == 0
    assert time.monotonic() - began < 4
    for reader in readers:
        reader.close()


def test_a_folder_that_is_away_loses_no_upload(server: Server) -> None:
    tus = server.tus
    path = tus.begun(DATA, 5)
    away = Path(f"{server.data}-away")
    (server.data / "partial").rename(away)
    assert tus.patch(path, 5, DATA[5:]).status == 503
    answer = tus.post({"Upload-Length": "5"}, b"12345")
    assert (answer.status, answer["Upload-Offset"]) == (201, "0")
    away.rename(server.data / "partial")
    tus.check_holds(path, DATA, 5)


def test_a_creation_whose_bytes_cannot_be_stored_tells_where_it_is_and_that_it_has_none(
    start: Start, tmp_path: Path
) -> None:
    server = start()
    (server.data / "partial").rename(tmp_path / "away")
    answer = server.tus.post({"Upload-Length": "5"}, b"12345")
    assert (answer.status, answer["Upload-Offset"]) == (201, "0")
    path = answer["Location"].removeprefix(server.tus.origin)
    (tmp_path / "away").rename(server.data / "partial")
    assert server.tus.patch(path, 0, b"12345").status == 204


def test_a_download_is_not_sent_again_to_who_has_it(tus: Tus) -> None:
    path = tus.stored(DATA)
    etag = tus.ask("GET", path)["ETag"]
    for known in (etag, "*"):
        answer = tus.ask("GET", path, {"If-None-Match": known})
        assert (answer.status, answer.body, answer["ETag"]) == (304, b"", etag)
    assert tus.ask("GET", path, {"If-None-Match": '"other"'}).body == DATA


def test_two_digests_that_differ_are_refused(tus: Tus) -> None:
    digest, other = ("sha-256=:" + letter * 43 + "=:" for letter in "AB")
    wanted = {f"{digest}, {digest}": 201, f"{digest}, {other[:-3]}A=:": 400}
    for value, status in wanted.items():
        assert tus.post({"Upload-Length": "5", "Repr-Digest": value}).status == status
