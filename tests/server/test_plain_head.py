"""HEAD without Tus-Resumable asks about the file: of a finished upload it tells what GET tells, of others what it did."""

import os

import pytest
from http_connection import UNKNOWN, Connection, Headers, Tus
from server_process import Server

DATA = os.urandom(200_000)
PLAIN: Headers = {"Tus-Resumable": None}
ONLY_OF_TUS = ("Upload-Offset", "Upload-Length", "Upload-Metadata", "Upload-Expires")


def test_a_finished_upload_is_described_as_its_download_is(tus: Tus) -> None:
    path = tus.stored(DATA, {"Upload-Metadata": "filename ZmlsbS5ta3Y="})
    answer, download = tus.head(path, PLAIN), tus.ask("GET", path, PLAIN)
    assert answer.status == 200
    assert answer.told == download.told
    assert answer["Content-Length"] == str(len(DATA))
    assert answer["Content-Disposition"].startswith("attachment")
    for name in ("Accept-Ranges", "Content-Type", "ETag", "Repr-Digest"):
        assert name in answer
    assert not any(name in answer for name in ONLY_OF_TUS)


def test_the_etag_of_head_says_that_nothing_has_changed(tus: Tus) -> None:
    path = tus.stored(DATA)
    etag = tus.head(path, PLAIN)["ETag"]
    assert tus.head(path, PLAIN | {"If-None-Match": etag}).status == 304


def test_a_range_is_of_get_only(tus: Tus) -> None:
    path = tus.stored(DATA)
    answer = tus.head(path, PLAIN | {"Range": "bytes=5-9"})
    assert (answer.status, answer["Content-Length"]) == (200, str(len(DATA)))


def test_the_connection_goes_on_behind_it(tus: Tus) -> None:
    path = tus.stored(DATA)
    with Connection(tus.port) as connection:
        for _ in range(3):
            connection.send(tus.request("HEAD", path, PLAIN))
            assert connection.answer("HEAD")["Content-Length"] == str(len(DATA))
        connection.send(tus.request("GET", path))
        assert connection.answer().body == DATA


def test_with_the_version_it_is_the_head_of_tus(tus: Tus) -> None:
    path = tus.stored(DATA)
    answer = tus.head(path)
    assert (answer["Upload-Offset"], answer["Cache-Control"]) == (str(len(DATA)), "no-store")
    assert "ETag" not in answer
    assert tus.head(path, {"Tus-Resumable": "0.2.2"}).status == 412


@pytest.mark.parametrize("kind", ["empty", "begun", "part"])
def test_what_is_no_file_yet_is_refused_as_before(tus: Tus, kind: str) -> None:
    path = {
        "empty": lambda: tus.create(10),
        "begun": lambda: tus.begun(DATA, 1000),
        "part": lambda: tus.stored(DATA, {"Upload-Concat": "partial"}),
    }[kind]()
    answer = tus.head(path, PLAIN)
    assert (answer.status, answer["Tus-Version"]) == (412, "1.0.0")
    assert "Upload-Offset" not in answer


def test_what_is_unknown_gone_or_lost_is_answered_as_get_answers_it(server: Server) -> None:
    tus = server.tus
    gone, lost = tus.stored(DATA), tus.stored(DATA)
    assert tus.ask("DELETE", gone).status == 204
    (server.data / "files" / lost.rpartition("/")[2]).unlink()
    assert [tus.head(path, PLAIN).status for path in (f"/files/{UNKNOWN}", gone, lost)] == [404, 410, 410]


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_an_override_of_another_method_asks_in_tus(tus: Tus, method: str) -> None:
    path = tus.stored(DATA)
    assert tus.ask(method, path, PLAIN | {"X-HTTP-Method-Override": "HEAD"}).status == 412
