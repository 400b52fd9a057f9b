"""PATCH on a bad line, and beside other requests (checks 40 to 42, and 46 to 48)."""

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from conformance import check
from http_connection import Connection, Headers, Tus, poll
from server_process import Start

DATA = os.urandom(200_000)
SENT = 70_000
EXPECT: Headers = {"Expect": "100-continue"}


@contextmanager
def half_sent(tus: Tus, path: str, count: int = SENT) -> Iterator[Connection]:
    """Begin a PATCH of the whole data, and send its first bytes once the server reads."""
    with Connection(tus.port) as connection:
        length: Headers = {"Content-Length": str(len(DATA))}
        connection.send(tus.request("PATCH", path, tus.patching(0, EXPECT | length)))
        assert connection.answer().status == 100
        connection.send(DATA[:count])
        yield connection


def stored(tus: Tus, path: str) -> int:
    told: int = json.loads(tus.progress(path))["uploadedBytes"]
    return told


@check(40, "SHOULD", "Of a body that ends too early (FIN), what came is kept")
def test_040_body_ends_early(tus: Tus) -> None:
    path = tus.create(len(DATA))
    with half_sent(tus, path) as connection:
        connection.finish()
        connection.read_rest()
    poll(lambda: stored(tus, path) == SENT)
    tus.check_holds(path, DATA, SENT)


@check(41, "SHOULD", "Of a body whose connection is reset (RST), what came is kept")
def test_041_connection_is_reset(tus: Tus) -> None:
    path = tus.create(len(DATA))
    with half_sent(tus, path) as connection:
        poll(lambda: stored(tus, path) == SENT)
        connection.send(DATA[SENT : SENT + 5000])
        connection.reset()
    poll(lambda: stored(tus, path) == SENT + 5000)
    tus.check_holds(path, DATA, SENT + 5000)


@check(42, "SHOULD", "A body that stalls ends with 423 and a closed connection, and what came is kept")
def test_042_body_stalls(start: Start) -> None:
    tus = start("--body-idle=0.5").tus
    path = tus.create(len(DATA))
    with half_sent(tus, path) as connection:
        assert connection.answer().status == 423
        connection.read_rest()
    tus.check_holds(path, DATA, SENT)


@check(46, "implied", "Of two PATCHes at one offset at most one wins, and their bytes never mix")
def test_046_two_patches_at_once(tus: Tus) -> None:
    bodies = [bytes([letter]) * len(DATA) for letter in b"ab"]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(8):
            path = tus.create(len(DATA))
            answers = list(pool.map(tus.patch, [path] * 2, [0] * 2, bodies))
            statuses = sorted(answer.status for answer in answers)
            assert statuses in ([204, 409], [204, 423], [409, 423])
            offset = tus.offset(path)
            assert offset == len(DATA) or 204 not in statuses
            if offset < len(DATA):
                assert tus.patch(path, offset, b"c" * (len(DATA) - offset)).status == 204
            file = tus.ask("GET", path).body
            assert file in [body[:offset] + b"c" * (len(DATA) - offset) for body in bodies]


@check(47, "convention", "HEAD beside a PATCH that hangs is answered soon, and the PATCH ends first with 423")
def test_047_head_while_a_patch_hangs(tus: Tus) -> None:
    path = tus.create(len(DATA))
    with half_sent(tus, path) as connection:
        poll(lambda: stored(tus, path) == SENT)
        began = time.monotonic()
        assert tus.offset(path) == SENT
        assert time.monotonic() - began < 2
        assert connection.answer().status == 423
    tus.check_holds(path, DATA, SENT)


@check(48, "convention", "With `Expect: 100-continue` a wrong offset is 409 before the body is sent")
def test_048_expect_with_a_wrong_offset(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    with Connection(tus.port) as connection:
        length: Headers = {"Content-Length": str(len(DATA))}
        connection.send(tus.request("PATCH", path, tus.patching(5, EXPECT | length)))
        assert connection.answer().status == 409
    tus.check_holds(path, DATA, 4)
