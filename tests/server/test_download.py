"""Published bytes leave by the kernel's hand: whole, in ranges, and at the pace of whoever reads."""

import os
import time

from http_connection import Connection, Headers, Tus
from server_process import Server

SIZE = 2**24 + 12345
DATA = os.urandom(SIZE)


def test_requests_follow_a_download_on_the_same_connection(tus: Tus) -> None:
    path = tus.stored(DATA)
    with Connection(tus.port) as connection:
        for start, stop in ((0, SIZE), (5, 2**23 + 5), (SIZE - 1, SIZE)):
            part: Headers = {"Range": f"bytes={start}-{stop - 1}"}
            connection.send(tus.request("GET", path, part) + tus.request("HEAD", path))
            answer = connection.answer()
            assert (answer.status, answer["Content-Range"]) == (206, f"bytes {start}-{stop - 1}/{SIZE}")
            assert answer.body == DATA[start:stop]
            assert connection.answer("HEAD")["Upload-Offset"] == str(SIZE)


def test_a_slow_reader_gets_all_while_others_are_answered(tus: Tus) -> None:
    path = tus.stored(DATA)
    with Connection(tus.port) as slow:
        slow.send(tus.request("GET", path))
        head = slow.read_line(b"\r\n\r\n")
        assert b"200 OK" in head
        body = b""
        while len(body) < SIZE:
            body += slow.read(min(2**21, SIZE - len(body)))
            time.sleep(0.02)
            assert tus.head(path).status == 200
        assert body == DATA


def test_a_file_that_is_gone_or_shorter_is_lost(server: Server) -> None:
    tus = server.tus
    paths = [tus.stored(DATA[:1000]) for _ in range(2)]
    gone, shorter = (server.data / "files" / path.rpartition("/")[2] for path in paths)
    gone.unlink()
    shorter.chmod(0o600)
    os.truncate(shorter, 10)
    assert [tus.ask("GET", path).status for path in paths] == [410, 410]


def test_a_reader_that_leaves_takes_nothing_along(tus: Tus) -> None:
    path = tus.stored(DATA)
    for _ in range(20):
        with Connection(tus.port) as connection:
            connection.send(tus.request("GET", path))
            connection.read(1)
            connection.reset()
    assert tus.ask("GET", path).body == DATA
