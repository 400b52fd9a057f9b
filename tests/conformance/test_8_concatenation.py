"""Concatenation (checks 112 to 119)."""

import hashlib
import json
from base64 import b64encode

from conformance import check
from http_connection import NONE, UNKNOWN, Answer, Headers, Tus, path_of
from server_process import Server, Start

OPTIONS = ["--max-size=1000", "--sweep-every=0.3"]
PARTIAL: Headers = {"Upload-Concat": "partial"}
A, B = b"abcdefghij", b"0123456"


def part(tus: Tus, data: bytes, count: int | None = None, headers: Headers = NONE) -> str:
    """Create a partial upload with its first bytes stored, or all of them, and give its path."""
    path = tus.create(len(data), PARTIAL | headers)
    assert tus.patch(path, 0, data[:count]).status == 204
    return path


def join(tus: Tus, *urls: str, headers: Headers = NONE, body: bytes = b"") -> Answer:
    """Ask for the final upload of some parts."""
    return tus.post(headers | {"Upload-Concat": f"final;{' '.join(urls)}"}, body)


def check_final(tus: Tus, path: str, data: bytes) -> None:
    """Check that a final upload is joined, and of which bytes."""
    answer = tus.head(path)
    assert (answer.status, answer["Upload-Offset"], answer["Upload-Length"]) == (200, str(len(data)), str(len(data)))
    assert tus.ask("GET", path).body == data


@check(112, "MUST", "OPTIONS offers concatenation and concatenation-unfinished")
def test_112_concatenation_is_offered(tus: Tus, start: Start) -> None:
    assert {"concatenation", "concatenation-unfinished"} <= set(
        tus.ask("OPTIONS", "/files")["Tus-Extension"].split(",")
    )
    bare = start("--without=concatenation").tus
    assert "concatenation" not in bare.ask("OPTIONS", "/files")["Tus-Extension"]
    path = bare.create(10, PARTIAL)
    assert "Upload-Concat" not in bare.head(path)
    bare.check_holds(path, A, 0)


@check(113, "MUST", "A partial upload tells that it is one, and its offset")
def test_113_partial_upload(tus: Tus) -> None:
    path = tus.create(10, PARTIAL)
    for at in range(0, 10, 5):
        answer = tus.head(path)
        assert (answer.status, answer["Upload-Concat"], answer["Upload-Offset"]) == (200, "partial", str(at))
        assert tus.patch(path, at, A[at : at + 5]).status == 204
    answer = tus.head(path)
    assert (answer.status, answer["Upload-Concat"], answer["Upload-Offset"]) == (200, "partial", "10")
    with_bytes = tus.post(PARTIAL | {"Upload-Length": "10"}, A)
    assert (with_bytes.status, with_bytes["Upload-Offset"]) == (201, "10")
    assert tus.head(path_of(with_bytes["Location"]))["Upload-Concat"] == "partial"


@check(114, "MUST", "A final upload is its parts in the order of the list")
def test_114_final_upload(tus: Tus) -> None:
    a, b = part(tus, A), part(tus, B)
    cases = [
        ((a, b), A + B),
        ((b, a), B + A),
        ((tus.origin + a, tus.origin + b), A + B),
        ((a, tus.origin + b), A + B),
        ((a, a), A + A),
        ((b, a, b), B + A + B),
        ((a,), A),
    ]
    for urls, data in cases:
        answer = join(tus, *urls)
        assert (urls, answer.status, answer["Upload-Offset"]) == (urls, 201, str(len(data)))
        sha256 = b64encode(hashlib.sha256(data).digest()).decode()
        assert answer["Repr-Digest"] == f"sha-256=:{sha256}:"
        check_final(tus, path_of(answer["Location"]), data)


@check(115, "MUST", "HEAD of a final upload gives the list as it was sent")
def test_115_list_as_it_was_sent(tus: Tus) -> None:
    a, b, unfinished = part(tus, A), part(tus, B), part(tus, B, 3)
    for urls in ((a, b), (tus.origin + a, b), (tus.origin + b, tus.origin + a), (a, unfinished)):
        path = path_of(join(tus, *urls)["Location"])
        assert tus.head(path)["Upload-Concat"] == f"final;{' '.join(urls)}"


@check(116, "SHOULD NOT", "A final upload of unfinished parts has no offset until it is joined")
def test_116_unfinished_parts(tus: Tus, start: Start) -> None:
    a, b, deferred = part(tus, A), part(tus, B, 3), tus.create(None, PARTIAL)
    final, of_deferred = join(tus, a, b), join(tus, a, deferred)
    assert [(answer.status, "Upload-Offset" in answer) for answer in (final, of_deferred)] == [(201, False)] * 2
    path, other = path_of(final["Location"]), path_of(of_deferred["Location"])
    answer = tus.head(path)
    assert (answer.status, "Upload-Offset" in answer, answer["Upload-Length"]) == (200, False, "17")
    assert "Upload-Length" not in tus.head(other)
    assert "Upload-Offset" not in tus.head(other)
    assert tus.patch(b, 3, B[3:]).status == 204
    check_final(tus, path, A + B)
    assert tus.patch(deferred, 0, B, {"Upload-Length": "7"}).status == 204
    check_final(tus, other, A + B)
    c = part(tus, B, 3)
    failing = path_of(join(tus, a, c)["Location"])
    assert tus.ask("DELETE", c).status == 204
    answer = tus.head(failing)
    assert (answer.status, "Upload-Offset" in answer) == (410, False)
    large = start("--reserve=0").tus
    big, small = large.create(2**53 + 1, PARTIAL), large.create(2, PARTIAL)
    assert large.head(path_of(join(large, big, small)["Location"]))["Upload-Length"] == str(2**53 + 3)
    bare = start("--without=concatenation-unfinished").tus
    a, b = part(bare, A), part(bare, B, 3)
    assert join(bare, a, b).status == 400
    assert bare.patch(b, 3, B[3:]).status == 204
    check_final(bare, path_of(join(bare, a, b)["Location"]), A + B)


@check(117, "MUST", "PATCH of a final upload is 403, and so is a body in its POST; nothing changes")
def test_117_patch_of_a_final_upload(tus: Tus, server: Server) -> None:
    a, b, unfinished = part(tus, A), part(tus, B), part(tus, B, 3)
    joined, waiting = path_of(join(tus, a, b)["Location"]), path_of(join(tus, a, unfinished)["Location"])
    for path, offset, body in ((joined, 17, b"x"), (joined, 17, b""), (joined, 0, b"x"), (waiting, 0, b"x")):
        answer = tus.patch(path, offset, body)
        assert (path, offset, answer.status) == (path, offset, 403)
        assert json.loads(answer.body)["code"] == "forbidden"
    before = server.ids()
    for answer in (join(tus, a, b, body=b"x"), tus.post({"Upload-Concat": f"final;{a}"}, parts=[b"x"])):
        assert answer.status == 403
        assert "Location" not in answer
    assert server.ids() == before
    check_final(tus, joined, A + B)
    assert "Upload-Offset" not in tus.head(waiting)
    assert tus.patch(unfinished, 3, B[3:]).status == 204
    check_final(tus, waiting, A + B)
    check_final(tus, path_of(join(tus, b, a)["Location"]), B + A)


@check(118, "MUST NOT", "Metadata of parts are not copied; a final upload has its own")
def test_118_metadata_of_parts(tus: Tus) -> None:
    a, b = (
        part(tus, A, headers={"Upload-Metadata": "filename YQ=="}),
        part(tus, B, headers={"Upload-Metadata": "b Yg=="}),
    )
    assert "Upload-Metadata" not in tus.head(path_of(join(tus, a, b)["Location"]))
    own = tus.head(path_of(join(tus, a, b, headers={"Upload-Metadata": "filename Yw=="})["Location"]))
    assert own["Upload-Metadata"] == "filename Yw=="
    assert tus.head(a)["Upload-Metadata"] == "filename YQ=="


@check(119, "MUST", "A list that can't be joined is 400, 404 or 410, above the limit 413; parts are never published")
def test_119_list_that_cannot_be_joined(tus: Tus, server: Server) -> None:
    a, whole, gone = part(tus, A), tus.stored(B), part(tus, B)
    assert tus.ask("DELETE", gone).status == 204
    halves = [part(tus, b"x" * 501) for _ in range(2)]
    values = {
        "final": 400,
        "final;": 400,
        "final; ": 400,
        "foo": 400,
        "": 400,
        "Partial": 400,
        f"final {a}": 400,
        f"final;{a},{a}": 400,
        f"final;{whole}": 400,
        f"final;{a} {whole}": 400,
        f"final;http://elsewhere.example{a}": 400,
        f"final;{a} ftp://127.0.0.1:{tus.port}{a}": 400,
        f"final;/elsewhere/{a.rpartition('/')[2]}": 400,
        "final;/files": 400,
        f"final;{a}/progress": 400,
        f"final;{a} {tus.files}/{UNKNOWN}": 404,
        f"final;{a} {gone}": 410,
        f"final;{halves[0]} {halves[1]}": 413,
    }
    before = server.ids()
    for value, status in values.items():
        answer = tus.post({"Upload-Concat": value})
        assert (value, answer.status, "Location" in answer) == (value, status, False)
    for name, size in (("Upload-Length", "10"), ("Upload-Defer-Length", "1")):
        answer = tus.post({"Upload-Concat": f"final;{a}", name: size})
        assert (answer.status, "Location" in answer) == (400, False)
    assert server.ids() == before
    assert tus.ask("GET", a).status == 403
    assert server.kept.of(a)
    assert "files" not in {piece.folder for piece in server.kept.of(a)}
    check_final(tus, path_of(join(tus, a)["Location"]), A)
