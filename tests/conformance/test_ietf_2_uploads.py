"""The IETF draft: HEAD, GET, PATCH and DELETE (rules R18 to R49, R52, R53, R55, R56)."""

import json
import time
from threading import Thread

from conformance import rule
from draft_requests import Draft, Reply, read_reply
from http_connection import UNKNOWN, Headers, Tus, chunked, path_of, poll
from server_process import Server

OPTIONS = ["--max-size=1000000"]
DATA = b"0123456789"
LONG = bytes(300_000)
STRIDE = 0.4  # seconds, in which a stride ends
NEW = (8, 9, 10)


def finished(draft: Draft) -> str:
    return path_of(draft.create("?1", DATA)["Location"])


def cut(draft: Draft, path: str, headers: Headers, sent: bytes, until: int, last: bytes = b"") -> Reply:
    """Send a body that is cut once its bytes are stored up to a position, and ask for the offset."""
    with draft.hang(path, headers, sent) as connection:
        poll(lambda: json.loads(draft.tus.progress(path))["uploadedBytes"] == until)
        if last:
            connection.send(last)
            time.sleep(STRIDE / 2)  # the last byte is not recorded before the end of the body
        connection.finish()
        connection.read_rest()
    return draft.head(path)


@rule("R18", "M", "HEAD is 204 with the true Upload-Offset")
def test_r18_head(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for path, offset in ((draft.begun(), 0), (draft.begun(DATA[:4], 10), 4), (finished(draft), 10)):
        assert (draft.head(path).status, draft.head(path).offset) == (204, offset)


@rule("R19", "8+ M, 6 m", "HEAD tells Upload-Limit")
def test_r19_limits(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    assert draft.head(draft.begun(DATA[:4])).limits["max-size"] == 1000000


@rule(
    "R20",
    "6, 8, 9 M; 10 m",
    "HEAD tells Upload-Complete, ?1 only once the upload is finished, and a known Upload-Length",
)
def test_r20_complete(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for path, over in ((draft.begun(DATA[:4], 10), "?0"), (finished(draft), "?1")):
        assert (draft.head(path).over, draft.head(path)["Upload-Length"]) == (over, "10")
    assert "Upload-Length" not in draft.head(draft.begun(DATA))


@rule("R21", "S", "Answers to HEAD must not be cached")
def test_r21_no_store(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    assert draft.head(draft.begun())["Cache-Control"] == "no-store"


@rule("R22", "9+ M", "GET with 200 has the fields of HEAD; GET of an unfinished upload is no success")
def test_r22_get(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = finished(draft)
    got, seen = draft.ask("GET", path), draft.head(path)
    assert (got.status, got.body) == (200, DATA)
    for name in ("Upload-Complete", "Upload-Offset", "Upload-Length", "Upload-Limit"):
        assert got[name] == seen[name]
    open_ = draft.ask("GET", draft.begun(DATA[:4], 10))
    assert (open_.status, open_.over, open_.offset) == (409, "?0", 4)


@rule("R23", "S", "No answer with ?0, and none to HEAD and DELETE, is a redirect")
def test_r23_no_redirect(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = finished(draft)
    for answer in (draft.head(path), draft.ask("GET", draft.begun(DATA)), draft.ask("DELETE", path)):
        assert answer.status not in range(300, 400)


@rule("R24", "M; field S", "PATCH at the offset with ?0 is a success with ?0")
def test_r24_append(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for length in (None, 10):
        path = draft.begun(b"", length)
        for at in (0, 4, 9):
            body = {0: DATA[:4], 4: DATA[4:9], 9: DATA[9:]}[at]
            answer = draft.patch(path, at, "?0", body)
            over = "?1" if length and at == 9 else "?0"  # the last byte of a stated length finishes (RM7)
            assert (answer.status // 100, answer.over, answer.offset) == (2, over, at + len(body))
        draft.holds(path, DATA, 10, over)


@rule("R25", "M", "PATCH at the offset with ?1 gives the final answer, also when it is chunked")
def test_r25_last_append(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for length in (None, 10):
        for parts in (None, [DATA[4:5], DATA[5:]]):
            path = draft.begun(DATA[:4], length)
            answer = draft.patch(path, 4, "?1", b"" if parts else DATA[4:], parts=parts)
            assert (answer.status, answer.over, answer.offset) == (200, "?1", 10)
            draft.holds(path, DATA, 10, "?1")


@rule("R26", "M", "An empty PATCH with ?1 finishes an upload that has all bytes")
def test_r26_empty_end(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for length in (None, 10):
        for parts in (None, list[bytes]()):
            path = draft.begun(DATA, length)
            answer = draft.patch(path, 10, "?1", parts=parts)
            assert (answer.status, answer.over, answer.offset) == (200, "?1", 10)
            draft.holds(path, DATA, 10, "?1")


@rule(
    "R27",
    "M; ?0 9+ M, 8 S; type m",
    "A wrong offset is 409 with the true one, ?0 and the problem type; nothing is stored",
)
def test_r27_wrong_offset(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun(DATA[:4], 10)
    for offset in (0, 3, 5, 10, 10**15 - 1):
        answer = draft.patch(path, offset, "?1", DATA[4:])
        assert (answer.status, answer.over, answer.offset) == (409, "?0", 4)
        problem = json.loads(answer.body)
        assert problem["type"] == "https://iana.org/assignments/http-problem-types#mismatching-upload-offset"
        assert (problem["expected-offset"], problem["provided-offset"]) == (4, offset)
    draft.holds(path, DATA, 4)


@rule("R28", "i; c", "PATCH with another Content-Type is 415, and nothing is stored")
def test_r28_content_type(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun(DATA[:4], 10)
    for media in ("text/plain", "application/offset+octet-stream", "application/partial-uploads", "", None):
        answer = draft.patch(path, 4, "?1", DATA[4:], {"Content-Type": media})
        assert (answer.status, answer.over) == (415, "?0")
    assert draft.patch(path, 4, "?0", b"", {"Content-Type": "Application/Partial-Upload;a=b"}).status in (201, 204)
    draft.holds(path, DATA, 4)


@rule("R29", "i; c", "PATCH without Upload-Offset is 400, and nothing is stored")
def test_r29_no_offset(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun(DATA[:4], 10)
    answer = draft.patch(path, None, "?1", DATA[4:])
    assert (answer.status, answer.over) == (400, "?0")
    draft.holds(path, DATA, 4)


@rule(
    "R30", "M", "More bytes than the length are 400, also chunked; since 8 the upload rejects everything from then on"
)
def test_r30_too_many_bytes(tus: Tus, server: Server, version: int) -> None:
    draft = Draft(tus, version)
    for flag, parts in (("?0", None), ("?0", [DATA]), ("?1", [DATA[:6], DATA])):
        path = draft.begun(DATA[:4], 10)
        answer = draft.patch(path, 4, flag, b"" if parts else DATA, parts=parts)
        assert (answer.status, answer.over) == (400, "?0")
        assert all(piece.size <= 10 for piece in server.kept.of(path))
        seen = draft.head(path)
        if version == 6:
            assert seen.offset is not None
            draft.holds(path, DATA, seen.offset)
        else:
            assert (seen.status, seen.offset) == (410, None)
            assert draft.patch(path, 4, "?1", DATA[4:]).status == 410


@rule("R31", "8+ S, 6 m; no Location M", "During a long PATCH 104s tell the offset, without Location")
def test_r31_progress(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun()
    size = str(2 * len(LONG))
    with draft.hang(path, draft.appending(0, "?1", {"Content-Length": size}), LONG) as connection:
        first = connection.answer()
        assert first.status == 104
        assert first.headers.keys() == {"upload-draft-interop-version", "upload-offset"}
        assert 0 < int(first["Upload-Offset"]) <= len(LONG)
        connection.send(LONG)
        reply = read_reply(connection, "PATCH")
    assert (reply.status, reply.over, reply.offset) == (200, "?1", 2 * len(LONG))


@rule("R32", "S; M", "Of a body that is cut the prefix is kept, and the upload is not finished by it")
def test_r32_cut(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    known: Headers = {"Content-Length": "6"}
    chunks: Headers = {"Transfer-Encoding": "chunked", "Content-Length": None}
    for length, flag, headers, sent in (
        (None, "?1", known, DATA[4:8]), (10, "?1", known, DATA[4:8]),
        (None, "?1", chunks, chunked([DATA[4:8]])), (10, "?0", chunks, chunked([DATA[4:8]])),
    ):  # fmt: skip
        path = draft.begun(DATA[:4], length)
        seen = cut(draft, path, draft.appending(4, flag, headers), sent, 8)
        assert (seen.status, seen.over, seen.offset) == (204, "?0", 8)
        draft.holds(path, DATA, 8)
    path = draft.begun(DATA[:4], 10)
    seen = cut(draft, path, draft.appending(4, "?1", chunks), chunked([DATA[4:9]]), 9, chunked([DATA[9:]]))
    assert (seen.over, seen.offset) == ("?0", 10), "all bytes of a body whose end did not come"
    draft.holds(path, DATA, 10)


@rule("R33", "M", "The offset never falls; an upload that has lost bytes is refused")
def test_r33_lost(tus: Tus, server: Server, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun(DATA[:4], 10)
    refused = tus.patch(path, 4, DATA[4:6], {"Upload-Checksum": "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="})
    assert refused.status == 460  # with a bucket, the last bytes were in memory as well until now
    server.kept.lose(path)
    answer = draft.patch(path, 4, "?0", DATA[4:6])
    assert (answer.status, answer.over) == (410, "?0")
    for again in (draft.head(path), draft.patch(path, 4, "?0"), draft.patch(path, 0, "?0")):
        assert (again.status, again.offset) == (410, None)


@rule("R34", "i", "An append to a finished upload changes nothing")
def test_r34_finished(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = finished(draft)
    for offset, flag in ((10, "?0"), (10, "?1"), (0, "?1")):
        assert draft.patch(path, offset, flag, b"more").status in (400, 409)
        assert draft.patch(path, offset, flag, parts=[b"more"]).status in (400, 409)
    draft.holds(path, DATA, 10, "?1")


@rule("R35", "S; M", "HEAD, PATCH and DELETE end a PATCH that hangs; the offset that is told is taken next")
def test_r35_rivals(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for method in ("HEAD", "PATCH", "DELETE"):
        path = draft.begun()
        asked = draft.appending(0, "?1", {"Content-Length": "10"})
        with draft.hang(path, asked, DATA[:4]) as connection:
            poll(lambda path=path: json.loads(tus.progress(path))["uploadedBytes"] == 4)  # type: ignore[misc]
            if method == "HEAD":
                assert draft.head(path).offset == 4
            elif method == "PATCH":
                assert draft.patch(path, 4, "?0", DATA[4:6]).offset == 6
            else:
                assert draft.ask("DELETE", path).status == 204
            old = read_reply(connection, "PATCH")
        assert (old.status, old.over) == (423, "?0")
        if method != "DELETE":
            draft.holds(path, DATA, 4 if method == "HEAD" else 6)


@rule("R36", "S", "DELETE is a success, and then the upload is 410")
def test_r36_delete(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for path in (draft.begun(DATA[:4], 10), draft.begun(DATA, 10), finished(draft)):
        assert draft.ask("DELETE", path).status == 204
        for again in (draft.head(path), draft.ask("GET", path), draft.ask("DELETE", path), draft.patch(path, 4, "?0")):
            assert (again.status, again.over, again.offset) == (410, "?0", None)


@rule("R37", "M", "With Expect: 100-continue a 100 is sent although a 104 was")
def test_r37_expect(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    asked: Headers = {"Upload-Complete": "?1", "Content-Length": "10", "Expect": "100-continue"}
    with draft.hang(tus.files, asked, b"", "POST") as connection:
        assert [connection.answer().status, connection.answer().status] == [104, 100]
        connection.send(DATA)
        assert read_reply(connection, "POST").over == "?1"


@rule("R38", "M", "Of two appends at once one wins, and their bytes don't mix")
def test_r38_at_once(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path, answers = draft.begun(), list[Reply]()
    bodies = [bytes([letter]) * 200_000 for letter in b"ab"]
    threads = [Thread(target=lambda body=body: answers.append(draft.patch(path, 0, "?1", body))) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    over = [answer for answer in answers if answer.over == "?1"]
    if not over:  # both were cut
        over = [draft.patch(path, draft.head(path).offset, "?1")]
    assert len(over) == 1, answers
    assert len(set(draft.ask("GET", path).body)) == 1


@rule("R39", "c; 6 M", "An unknown upload is 404")
def test_r39_unknown(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = f"{tus.files}/{UNKNOWN}"
    for answer in (draft.head(path), draft.patch(path, 0, "?1", DATA), draft.ask("DELETE", path)):
        assert (answer.status, answer.over, answer.offset) == (404, "?0", None)


@rule("R40", "S", "Each creation has a URL of its own")
def test_r40_urls(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    assert len({draft.begun() for _ in range(5)}) == 5


@rule("R41", "never ?1 i, 9+ M; ?0 8+ S", "Refusals by the protocol have ?0")
def test_r41_refusals(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun(DATA[:4], 10)
    answers = {
        400: draft.create("x"),
        404: draft.head("/files/nothing"),
        405: draft.ask("POST", path, {"Upload-Complete": "?1"}),
        409: draft.patch(path, 3, "?1"),
        413: draft.create("?0", b"", {"Upload-Length": "1000001"}),
        415: draft.patch(path, 4, "?1", b"", {"Content-Type": "a/b"}),
        417: draft.patch(path, 4, "?1", b"", {"Expect": "x"}),
    }
    assert {status: (answer.status, answer.over) for status, answer in answers.items()} == {
        status: (status, "?0") for status in answers
    }


@rule("R42", "m; field 9+ S", "There is no max-append-size, and one request may bring all of an upload")
def test_r42_largest_append(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    answer = draft.create("?1", bytes(1_000_000))
    assert answer.over == "?1"
    assert "max-append-size" not in answer["Upload-Limit"]


@rule("R43", "i; field 9+ S", "There is no min-append-size, and an append may be small")
def test_r43_smallest_append(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun(b"", 10)
    assert "min-append-size" not in draft.head(path)["Upload-Limit"]
    assert draft.patch(path, 0, "?0", DATA[:1]).offset == 1


@rule("R44", "i", "The lifetime is max-age; in 6 also expires")
def test_r44_lifetime(tus: Tus, version: int) -> None:
    limits = Draft(tus, version).head(Draft(tus, version).begun()).limits
    assert limits["max-age"] > 600_000
    assert limits.get("expires") == (limits["max-age"] if version == 6 else None)


@rule("R45", "i", "PATCH without Upload-Complete is 400; in 6 it means ?1")
def test_r45_no_flag(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun(DATA[:4], 10)
    answer = draft.patch(path, 4, None, DATA[4:])
    assert (answer.status, answer.over) == ((200, "?1") if version == 6 else (400, "?0"))
    draft.holds(path, DATA, 10 if version == 6 else 4, answer.over)


@rule("R46", "6 M", "Every answer tells Upload-Offset while the upload lives, final ones too", versions=(6,))
def test_r46_offset_everywhere(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun(DATA[:4], 10)
    answers = [
        draft.create("?0", DATA[:4]),
        draft.head(path),
        draft.head(path, {"Upload-Offset": "4"}),
        draft.patch(path, 3, "?1"),
        draft.patch(path, None, "?1"),
        draft.patch(path, 4, "?1", b"x"),
        draft.patch(path, 4, "?1", b"", {"Content-Type": "a/b"}),
        draft.ask("GET", path),
    ]
    assert [answer.offset for answer in answers] == [4] * len(answers)
    refused = draft.create("?1", parts=[LONG] * 4)
    assert (refused.status, refused.offset) == (413, draft.head(path_of(refused["Location"])).offset)
    assert draft.patch(path, 4, "?1", DATA[4:]).offset == 10
    assert draft.head(path).offset == draft.ask("GET", path).offset == draft.patch(path, 10, "?1").offset == 10


@rule("R47", "6 M", "An append with ?0 is 201 in 6, and 204 since")
def test_r47_status(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    assert draft.patch(draft.begun(), 0, "?0", DATA).status == (201 if version == 6 else 204)


@rule("R48", "6 M", "HEAD and DELETE with fields of other requests are 400 in 6; since then the fields are ignored")
def test_r48_extra_fields(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for method, name, value in (
        ("HEAD", "Upload-Offset", "4"), ("HEAD", "Upload-Complete", "?0"), ("HEAD", "Upload-Length", "10"),
        ("DELETE", "Upload-Offset", "4"), ("DELETE", "Upload-Complete", "?0"),
    ):  # fmt: skip
        path = draft.begun(DATA[:4], 10)
        assert draft.ask(method, path, {name: value}).status == (400 if version == 6 else 204)
        assert draft.head(path).status == (204 if version == 6 or method == "HEAD" else 410)


@rule("R49", "6 M", "DELETE is 204")
def test_r49_delete(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    assert draft.ask("DELETE", draft.begun()).status == 204


@rule("R52", "S", "An offset in a 104 is stored for good")
def test_r52_told_is_stored(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun()
    asked = draft.appending(0, "?1", {"Content-Length": str(2 * len(LONG))})
    with draft.hang(path, asked, LONG) as connection:
        told = int(connection.answer()["Upload-Offset"])
        connection.reset()
    offset = draft.head(path).offset
    assert offset is not None
    assert offset >= told


@rule("R53", "M", "During a creation the first 104 has Location, the others only offsets, which never fall")
def test_r53_creation_with_104s(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    asked: Headers = {"Upload-Complete": "?1", "Content-Length": str(3 * len(LONG))}
    with draft.hang(tus.files, asked, LONG, "POST") as connection:
        for _ in range(2):
            time.sleep(STRIDE)
            connection.send(LONG)
        reply = read_reply(connection, "POST")
    first, *others = reply.interim
    offsets = [int(other["Upload-Offset"]) for other in others]
    assert first["Location"] == reply["Location"]
    assert offsets
    assert offsets == sorted(offsets)
    assert not any("Location" in other for other in others)
    assert (reply.over, reply.offset) == ("?1", 3 * len(LONG))


@rule("R55", "M", "A wrong offset on a finished upload is 409 with ?0 and Upload-Offset")
def test_r55_finished_and_wrong(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = finished(draft)
    for offset in (0, 9, 11):
        answer = draft.patch(path, offset, "?1")
        assert (answer.status, answer.over, answer.offset) == (409, "?0", 10)


@rule("R55b", "M", "More data for a finished upload are refused with ?0, and not stored")
def test_r55b_finished_and_more(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = finished(draft)
    for parts in (None, [b"more"]):
        for flag in ("?0", "?1"):
            answer = draft.patch(path, 10, flag, b"" if parts else b"more", parts=parts)
            assert (answer.status, answer.over, answer.offset) == (400 if version == 6 else 409, "?0", 10)
    draft.holds(path, DATA, 10, "?1")


@rule(
    "R56", "9+ m; ours: always", "An empty append with ?1 at the end of a finished upload gets the final answer again"
)
def test_r56_again(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun(DATA[:4])
    first = draft.patch(path, 4, "?1", DATA[4:])
    for parts in (None, list[bytes]()):
        again = draft.patch(path, 10, "?1", parts=parts)
        names = ("upload-complete", "upload-offset", "repr-digest")
        assert (again.status, [again[name] for name in names]) == (200, [first[name] for name in names])
