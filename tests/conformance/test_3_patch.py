"""PATCH on a good line (checks 28 to 39, 43 to 45, 49 and 50)."""

import json
import os

from conformance import check
from http_connection import UNKNOWN, Connection, Tus
from websocket_follower import Follower

DATA = b"0123456789"
OPTIONS = ["--reserve=0"]  # sizes beyond every disk


@check(28, "MUST", "PATCH at the offset is 204 and tells the new offset")
def test_028_patch_at_the_offset(tus: Tus) -> None:
    path = tus.create(10)
    for at, body in ((0, DATA[:4]), (4, DATA[4:9]), (9, DATA[9:])):
        answer = tus.patch(path, at, body)
        assert (answer.status, answer["Upload-Offset"]) == (204, str(at + len(body)))
    tus.check_holds(path, DATA, 10)


@check(29, "MUST", "PATCH ahead of the offset is 409, and changes nothing")
def test_029_patch_ahead(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    for offset in (5, 10, 2**63 - 1):
        assert tus.patch(path, offset, b"x").status == 409
    tus.check_holds(path, DATA, 4)


@check(30, "MUST", "PATCH behind the offset is 409, and changes nothing")
def test_030_patch_behind(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    for offset in (3, 0):
        assert tus.patch(path, offset, b"x").status == 409
    tus.check_holds(path, DATA, 4)


@check(31, "convention", "PATCH without an offset is 400, and changes nothing")
def test_031_patch_without_an_offset(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    assert tus.patch(path, None, b"x").status == 400
    tus.check_holds(path, DATA, 4)


@check(32, "MUST", "An offset that is no non-negative integer is 400, and changes nothing")
def test_032_offset_is_no_number(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    for offset in ("-1", "1.5", "abc", "+4", "0x4", "", "4,4", "1e0", "4 4", "\xb4", str(2**63)):
        assert (offset, tus.patch(path, offset, b"x").status) == (offset, 400)
    tus.check_holds(path, DATA, 4)


@check(33, "SHOULD", "PATCH with another Content-Type is 415, and changes nothing")
def test_033_other_content_type(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    for media in ("text/plain", "application/octet-stream", "application/offset+octet-streams", ""):
        assert (media, tus.patch(path, 4, b"x", {"Content-Type": media}).status) == (media, 415)
    tus.check_holds(path, DATA, 4)


@check(34, "SHOULD", "PATCH without a Content-Type is 415, and changes nothing")
def test_034_no_content_type(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    assert tus.patch(path, 4, b"x", {"Content-Type": None}).status == 415
    tus.check_holds(path, DATA, 4)


@check(35, "SHOULD", "PATCH of an unknown upload is 404")
def test_035_patch_of_an_unknown_upload(tus: Tus) -> None:
    answer = tus.patch(f"{tus.files}/{UNKNOWN}", 0, b"x")
    assert answer.status == 404
    assert "Upload-Offset" not in answer


@check(36, "implied", "PATCH without a byte is 204, and the offset stays")
def test_036_empty_patch(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    for answer in (tus.patch(path, 4), tus.patch(path, 4, parts=[])):
        assert (answer.status, answer["Upload-Offset"]) == (204, "4")
    tus.check_holds(path, DATA, 4)


@check(37, "convention", "A body of a size beyond the length is 413, and nothing of it is stored")
def test_037_body_beyond_the_length(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    assert tus.patch(path, 4, b"1234567").status == 413
    tus.check_holds(path, DATA, 4)


@check(38, "implied", "A chunked body is stored")
def test_038_chunked_body(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    answer = tus.patch(path, 4, parts=[DATA[4:5], DATA[5:8]])
    assert (answer.status, answer["Upload-Offset"]) == (204, "8")
    tus.check_holds(path, DATA, 8)


@check(39, "implied", "A chunked body beyond the length is 413, and the file never becomes longer")
def test_039_chunked_body_beyond_the_length(tus: Tus) -> None:
    for parts in ([b"xxxxxxx"], [b"xxx", b"xxx", b"x"], [b"x" * 100_000]):
        path = tus.begun(DATA, 4)
        assert tus.patch(path, 4, parts=parts).status == 413
        tus.check_holds(path, DATA, 4)


@check(43, "MAY", "Many small PATCHes give the same file")
def test_043_many_small_patches(tus: Tus) -> None:
    data = os.urandom(500)
    path = tus.create(len(data))
    at = 0
    with Connection(tus.port) as connection:
        while at < len(data):
            body = data[at : at + 1 + at % 7]
            connection.send(tus.request("PATCH", path, tus.patching(at), body))
            at += len(body)
            answer = connection.answer()
            assert (answer.status, answer["Upload-Offset"]) == (204, str(at))
    tus.check_holds(path, data, len(data))


@check(44, "convention", "PATCH without a byte at the end of a finished upload is 204")
def test_044_empty_patch_at_the_end(tus: Tus) -> None:
    path = tus.stored(DATA)
    answer = tus.patch(path, 10)
    assert (answer.status, answer["Upload-Offset"]) == (204, "10")
    tus.check_holds(path, DATA, 10)


@check(45, "implied", "PATCH with bytes at the end of a finished upload is 413, and the file stays")
def test_045_bytes_at_the_end(tus: Tus) -> None:
    path = tus.stored(DATA)
    assert tus.patch(path, 10, b"x").status == 413
    assert tus.patch(path, 10, parts=[b"x"]).status == 413
    tus.check_holds(path, DATA, 10)


@check(49, "implied", "Sizes beyond 32 and 53 bits are told exactly")
def test_049_large_numbers(tus: Tus) -> None:
    for length in (2**32 + 1, 2**53 + 1, 2**63 - 1):
        path = tus.create(length)
        answer = tus.head(path)
        assert (answer["Upload-Offset"], answer["Upload-Length"]) == ("0", str(length))
        assert tus.patch(path, length, b"").status == 409
        deferred = tus.create(None)
        assert tus.patch(deferred, 0, b"x", {"Upload-Length": str(length)}).status == 204
        assert tus.head(deferred)["Upload-Length"] == str(length)


@check(50, "convention", "The end of an upload is told once")
def test_050_the_end_is_told_once(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    follower = Follower(tus, path)
    assert tus.patch(path, 4, DATA[4:]).status == 204
    told = [message["status"] for message in follower.rest()]
    assert told[-1] == "completed"
    assert told.count("completed") == 1
    last = json.loads(tus.progress(path))
    assert tus.patch(path, 10).status == 204
    assert tus.patch(path, 10, b"x").status == 413
    assert tus.offset(path) == 10
    assert json.loads(tus.progress(path)) == last  # with the same number: nothing was told in between
