"""Ids and paths that lead astray (rows S1, S3, S5)."""

import os
import re
import stat
from itertools import product

import pytest
from http_connection import UNKNOWN, Headers, Tus
from odd_requests import ID, Row, strike
from server_process import Server, Start

from onward.protocol.model import ID_PATTERN
from onward.server.uploads.engine import new_id

METHODS = ("PATCH", "HEAD", "GET", "DELETE")
PATHS = (
    "/files/..%2f..%2fetc%2fpasswd", "/files/%2e%2e", "/files/..", "/files/a%00b", "/files/a%0d%0aSet-Cookie:x",
    "/files/%252e%252e%252fx", "/files/..\\..\\x", "/files/.hidden", f"{ID}.info", f"{ID}%2F", f"{ID}%00", f"{ID}/../other",
    f"{ID}/x", f"{ID}//", f"/files/{'0' * 5000}", f"/files/{'0' * 31}", f"/files/{'0' * 33}", f"/files/{'A' * 32}",
    "/files/٠" + "0" * 31, "/files/\xff", "/files/state.sqlite", "/files/../state.sqlite", "//etc/passwd", "/other",
)  # fmt: skip


@pytest.mark.parametrize(("method", "path"), list(product(METHODS, PATHS)))
def test_a_path_that_names_no_upload_finds_none(server: Server, method: str, path: str) -> None:
    text = path.encode().decode("latin-1")
    headers = server.tus.patching(5) if method == "PATCH" else {}
    request = server.tus.request(method, text, headers, b"56789" if method == "PATCH" else b"")
    answer = strike(server, Row(request, (400, 404), method))
    assert "Set-Cookie" not in answer


def test_an_id_that_is_unknown_tells_nothing_more(tus: Tus) -> None:
    patch = tus.patching(0)
    headers: dict[str, Headers] = {"PATCH": patch}
    for method in METHODS:
        answers = [tus.ask(method, f"/files/{id_}", headers.get(method, {})) for id_ in (UNKNOWN, new_id())]
        assert answers[0].told == answers[1].told
        assert (answers[0].status, answers[0].body) == (404, answers[1].body)


def test_ids_are_long_random_and_unlike() -> None:
    ids = [new_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{32}", id_) and re.fullmatch(ID_PATTERN, id_) for id_ in ids)
    assert ids != sorted(ids)
    assert len({id_[:8] for id_ in ids}) > 9_900


def test_what_is_stored_is_private_whatever_the_umask(start: Start) -> None:
    before = os.umask(0)
    try:
        server = start()
    finally:
        os.umask(before)
    server.tus.begun(b"0123456789", 5)
    server.tus.stored(b"0123456789")
    for file in (server.data, *server.data.rglob("*")):
        wanted = 0o700 if file.is_dir() else 0o440 if file.parent.name == "files" else 0o600
        assert stat.S_IMODE(file.stat().st_mode) == wanted, file
