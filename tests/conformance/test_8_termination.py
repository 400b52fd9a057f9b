"""Termination (checks 107 to 111)."""

import time

from conformance import check
from http_connection import UNKNOWN, Connection, Headers, Tus, poll
from server_process import Server, Start

DATA = b"0123456789"


@check(107, "MUST", "OPTIONS offers termination")
def test_107_termination_is_offered(tus: Tus, start: Start) -> None:
    assert "termination" in tus.ask("OPTIONS", tus.files)["Tus-Extension"].split(",")
    bare = start("--without=termination").tus
    assert "termination" not in bare.ask("OPTIONS", bare.files)["Tus-Extension"].split(",")
    path = bare.begun(DATA, 4)
    answer = bare.ask("DELETE", path)
    assert answer.status == 405
    assert "DELETE" not in answer["Allow"].replace(" ", "").split(",")
    bare.check_holds(path, DATA, 4)


@check(108, "MUST", "DELETE of an unfinished or a finished upload is 204, and frees the space")
def test_108_delete(tus: Tus, server: Server) -> None:
    for path in (tus.begun(DATA, 4), tus.stored(DATA)):
        assert server.kept.of(path)
        answer = tus.ask("DELETE", path)
        assert (answer.status, answer.body) == (204, b"")
        assert server.kept.of(path) == []
    assert tus.ask("DELETE", tus.create(10)).status == 204


@check(109, "SHOULD", "Every request to a deleted upload is 410, without an offset")
def test_109_after_delete(tus: Tus) -> None:
    for path, at in ((tus.begun(DATA, 4), 4), (tus.stored(DATA), 10)):
        assert tus.ask("DELETE", path).status == 204
        answers = [tus.head(path), tus.patch(path, at), tus.ask("GET", path), tus.ask("DELETE", path)]
        assert [answer.status for answer in answers] == [410] * 4
        assert not any("Upload-Offset" in answer for answer in answers)


@check(110, "convention", "DELETE of an unknown upload is 404")
def test_110_delete_of_an_unknown_upload(tus: Tus) -> None:
    assert tus.ask("DELETE", f"{tus.files}/{UNKNOWN}").status == 404


@check(111, "implied", "DELETE beside a PATCH that runs ends it, and leaves nothing behind")
def test_111_delete_while_a_patch_runs(tus: Tus, server: Server) -> None:
    path = tus.create(1000)
    length: Headers = {"Content-Length": "1000", "Expect": "100-continue"}
    with Connection(tus.port) as connection:
        connection.send(tus.request("PATCH", path, tus.patching(0, length)))
        assert connection.answer().status == 100
        connection.send(b"x" * 600)
        poll(lambda: bool(server.kept.of(path)))
        began = time.monotonic()
        assert tus.ask("DELETE", path).status == 204
        assert time.monotonic() - began < 2
        assert connection.answer().status == 423
    assert server.kept.of(path) == []
    assert tus.head(path).status == 410
