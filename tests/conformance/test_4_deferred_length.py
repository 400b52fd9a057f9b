"""A deferred length (checks 72 to 80)."""

import json

from conformance import check
from http_connection import Headers, Tus
from server_process import Server, Start

OPTIONS = ["--max-size=1000"]
DATA = b"0123456789"


def length(value: int) -> Headers:
    return {"Upload-Length": str(value)}


def begun(tus: Tus) -> str:
    """Create an upload without a length and with four bytes stored."""
    path = tus.create(None)
    assert tus.patch(path, 0, DATA[:4]).status == 204
    return path


def check_open(tus: Tus, path: str) -> None:
    """Check that an upload has four bytes and still no length, and finish it."""
    answer = tus.head(path)
    assert (answer["Upload-Offset"], answer["Upload-Defer-Length"]) == ("4", "1")
    assert "Upload-Length" not in answer
    assert tus.patch(path, 4, DATA[4:], length(10)).status == 204
    assert tus.ask("GET", path).body == DATA


@check(72, "MUST", "OPTIONS offers creation-defer-length")
def test_072_deferred_length_is_offered(tus: Tus, start: Start) -> None:
    assert "creation-defer-length" in tus.ask("OPTIONS", tus.files)["Tus-Extension"].split(",")
    bare = start("--without=creation-defer-length").tus
    assert "creation-defer-length" not in bare.ask("OPTIONS", bare.files)["Tus-Extension"].split(",")
    assert bare.post({"Upload-Defer-Length": "1"}).status == 400


@check(73, "MUST", "HEAD tells that the length is deferred, and no length")
def test_073_deferred_length(tus: Tus) -> None:
    check_open(tus, begun(tus))
    answer = tus.head(tus.create(None))
    assert (answer.status, answer["Upload-Offset"], answer["Upload-Defer-Length"]) == (200, "0", "1")
    assert "Upload-Length" not in answer


@check(74, "SHOULD", "Upload-Defer-Length other than 1 is 400")
def test_074_deferred_otherwise(tus: Tus) -> None:
    for value in ("2", "true", "0", "", "01", "-1", "1,1"):
        answer = tus.post({"Upload-Defer-Length": value})
        assert (value, answer.status) == (value, 400)
        assert "Location" not in answer


@check(75, "MUST", "PATCH tells the length, once and for all")
def test_075_patch_tells_the_length(tus: Tus) -> None:
    path = begun(tus)
    assert tus.patch(path, 4, DATA[4:6], length(10)).status == 204
    answer = tus.head(path)
    assert (answer["Upload-Offset"], answer["Upload-Length"]) == ("6", "10")
    assert "Upload-Defer-Length" not in answer
    tus.check_holds(path, DATA, 6)


@check(76, "MUST NOT", "PATCH with another length later is 400, and the length stays")
def test_076_another_length_later(tus: Tus) -> None:
    path = begun(tus)
    assert tus.patch(path, 4, DATA[4:6], length(10)).status == 204
    for other in (9, 11, 6):
        assert tus.patch(path, 6, b"x", length(other)).status == 400
    assert tus.head(path)["Upload-Length"] == "10"
    assert tus.patch(path, 6, DATA[6:7], length(10)).status == 204  # the same one is no change
    tus.check_holds(path, DATA, 7)


@check(77, "implied", "A length below the offset is 400, and changes nothing")
def test_077_length_below_the_offset(tus: Tus) -> None:
    path = begun(tus)
    for below in (3, 0):
        assert tus.patch(path, 4, b"", length(below)).status == 400
    check_open(tus, path)


@check(78, "implied", "A length above the limit, told by PATCH, is 413, and changes nothing")
def test_078_length_above_the_limit(tus: Tus) -> None:
    path = begun(tus)
    assert tus.patch(path, 4, b"x", length(1001)).status == 413
    check_open(tus, path)


@check(79, "implied", "PATCH without a byte that tells the offset as the length completes the upload")
def test_079_empty_patch_completes(tus: Tus) -> None:
    for parts in (None, list[bytes]()):
        path = begun(tus)
        answer = tus.patch(path, 4, headers=length(4), parts=parts)
        assert (answer.status, answer["Upload-Offset"]) == (204, "4")
        assert json.loads(tus.progress(path))["status"] == "completed"
        assert tus.head(path)["Upload-Length"] == "4"
        assert tus.ask("GET", path).body == DATA[:4]


@check(80, "implied", "An upload without a length that grows past the limit is 413, and bounded on disk")
def test_080_growing_past_the_limit(tus: Tus, server: Server) -> None:
    for at, parts in ((4, None), (4, [b"x" * 500, b"x" * 497]), (4, [b"x" * 100_000])):
        path = begun(tus)
        answer = tus.patch(path, at, b"x" * 997 if parts is None else b"", parts=parts)
        assert answer.status == 413
        assert sum(piece.size for piece in server.kept.of(path)) in range(4, 1001)
        check_open(tus, path)
    path = begun(tus)
    assert tus.patch(path, 4, b"x" * 996).status == 204
    assert tus.patch(path, 1000, b"x").status == 413
    assert tus.offset(path) == 1000
