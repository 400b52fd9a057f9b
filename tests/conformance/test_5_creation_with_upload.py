"""Creation with upload (checks 81 to 89)."""

import json

from conformance import check
from http_connection import OCTETS, Connection, Headers, Tus, path_of, poll
from server_process import Server, Start

OPTIONS = ["--max-size=1000"]
DATA = b"0123456789"
TEN: Headers = {"Upload-Length": "10"}
EXPECT: Headers = {"Expect": "100-continue", "Content-Type": OCTETS, "Content-Length": "10"}


@check(81, "MUST", "OPTIONS offers creation-with-upload, and never without creation")
def test_081_creation_with_upload_is_offered(tus: Tus, start: Start) -> None:
    assert {"creation", "creation-with-upload"} <= set(tus.ask("OPTIONS", tus.files)["Tus-Extension"].split(","))
    told = start("--without=creation").tus.ask("OPTIONS", tus.files)["Tus-Extension"].split(",")
    assert not {"creation", "creation-with-upload"} & set(told)
    bare = start("--without=creation-with-upload").tus
    told = bare.ask("OPTIONS", bare.files)["Tus-Extension"].split(",")
    assert "creation" in told
    assert "creation-with-upload" not in told
    answer = bare.post(TEN, DATA)
    assert (answer.status, answer["Upload-Offset"]) == (201, "0")
    bare.check_holds(path_of(answer["Location"]), DATA, 0)


@check(82, "MUST", "POST with the first bytes stores them, and tells the offset")
def test_082_first_bytes(tus: Tus) -> None:
    for parts in (None, [DATA[:2], DATA[2:5]]):
        answer = tus.post(TEN, DATA[:5] if parts is None else b"", parts)
        assert (answer.status, answer["Upload-Offset"]) == (201, "5")
        tus.check_holds(path_of(answer["Location"]), DATA, 5)


@check(83, "MUST", "POST with the whole file completes the upload, once")
def test_083_whole_file(tus: Tus) -> None:
    answer = tus.post(TEN, DATA)
    assert (answer.status, answer["Upload-Offset"]) == (201, "10")
    path = path_of(answer["Location"])
    told = json.loads(tus.progress(path))
    assert told["status"] == "completed"
    assert tus.patch(path, 10).status == 204
    tus.check_holds(path, DATA, 10)
    assert json.loads(tus.progress(path)) == told


@check(84, "implied", "POST with the Content-Type of a body but no byte creates an empty upload")
def test_084_no_byte(tus: Tus) -> None:
    for parts in (None, list[bytes]()):
        answer = tus.post(TEN | {"Content-Type": OCTETS}, parts=parts)
        assert (answer.status, answer["Upload-Offset"]) == (201, "0")
        tus.check_holds(path_of(answer["Location"]), DATA, 0)


@check(85, "convention", "POST with a body of another Content-Type is 415, and creates nothing")
def test_085_other_content_type(start: Start) -> None:
    server = start()
    for media in ("text/plain", "application/json", None):
        answer = server.tus.post(TEN | {"Content-Type": media}, DATA)
        assert (media, answer.status) == (media, 415)
        assert "Location" not in answer
    assert server.ids() == set()
    assert server.count_records() == 0


@check(86, "implied", "POST with a body beyond the length is 413, and the file never becomes longer")
def test_086_body_beyond_the_length(tus: Tus, server: Server) -> None:
    before = server.ids()
    answer = tus.post(TEN, DATA + b"x")
    assert answer.status == 413
    assert "Location" not in answer
    assert server.ids() == before
    answer = tus.post(TEN, parts=[DATA, b"x"])
    assert answer.status == 413
    tus.check_holds(path_of(answer["Location"]), DATA, 0)


@check(87, "implied", "POST with bytes and a deferred length stores them")
def test_087_deferred_length(tus: Tus) -> None:
    answer = tus.post({"Upload-Defer-Length": "1"}, DATA[:5])
    assert (answer.status, answer["Upload-Offset"]) == (201, "5")
    path = path_of(answer["Location"])
    assert tus.head(path)["Upload-Defer-Length"] == "1"
    assert tus.patch(path, 5, DATA[5:], TEN).status == 204
    assert tus.ask("GET", path).body == DATA


@check(88, "SHOULD", "With `Expect: 100-continue` a refused creation is told before the body is sent")
def test_088_expect_with_a_refused_creation(tus: Tus) -> None:
    cases: list[tuple[Headers, int]] = [({}, 400), ({"Upload-Length": "1001"}, 413), ({"Upload-Length": "5"}, 413)]
    for headers, status in cases:
        with Connection(tus.port) as connection:
            connection.send(tus.request("POST", tus.files, EXPECT | headers))
            assert connection.answer().status == status
    with Connection(tus.port) as connection:
        connection.send(tus.request("POST", tus.files, EXPECT | TEN))
        assert connection.answer().status == 100
        connection.send(DATA)
        answer = connection.answer()
        assert (answer.status, answer["Upload-Offset"]) == (201, "10")


@check(89, "SHOULD", "Of a POST whose connection is lost the upload keeps what came, and expires later")
def test_089_connection_is_lost(start: Start) -> None:
    server = start("--expire-after=2", "--sweep-every=0.3")
    tus = server.tus
    with Connection(tus.port) as connection:
        connection.send(tus.request("POST", tus.files, EXPECT | TEN))
        assert connection.answer().status == 100
        connection.send(DATA[:5])
        connection.finish()
        connection.read_rest()
    poll(lambda: len(server.ids()) == 1)
    (id_,) = server.ids()
    poll(lambda: tus.offset(f"{tus.files}/{id_}") == 5)
    poll(lambda: tus.head(f"{tus.files}/{id_}").status == 410)
    poll(lambda: server.ids() == set())
