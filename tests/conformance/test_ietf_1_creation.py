"""The IETF draft: discovery, limits and creation (rules R1 to R17, R50, R51, R54, R57)."""

import json

from conformance import rule
from draft_requests import Draft, read_reply
from http_connection import NONE, Headers, Tus, path_of, poll
from server_process import Start

OPTIONS = ["--max-size=1000000", "--expire-after=1h"]
DATA = b"0123456789"
TEN: Headers = {"Upload-Length": "10"}
WRONG = ("true", "1", '"?1"', "?2", "1.0", "")


def check_limits(limits: dict[str, int], version: int) -> None:
    assert limits.keys() <= {"max-size", "min-size", "max-age", "expires"}
    assert limits["max-size"] == 1000000
    assert 3500 < limits["max-age"] <= 3600
    assert ("expires" in limits) is (version == 6)


@rule("R1", "M (8: S)", "OPTIONS on the collection tells Upload-Limit, whichever protocol asks")
def test_r1_options(tus: Tus, version: int) -> None:
    others: tuple[Headers, ...] = ({}, {"Upload-Draft-Interop-Version": None}, {"Tus-Resumable": "1.0.0"})
    for headers in others:
        answer = Draft(tus, version).ask("OPTIONS", tus.files, headers)
        assert answer.status == 204
        assert answer.limits["max-size"] == 1000000


@rule("R2", "S", "OPTIONS * tells the same")
def test_r2_options_of_the_server(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    answer = draft.ask("OPTIONS", "*")
    assert (answer.status, answer.limits) == (204, draft.ask("OPTIONS", tus.files).limits)


@rule("R3", "M", "Upload-Limit is a Dictionary of Integers, and never empty")
def test_r3_limits(tus: Tus, start: Start, version: int) -> None:
    draft = Draft(tus, version)
    for answer in (draft.ask("OPTIONS", tus.files), draft.create("?0"), draft.head(draft.begun())):
        check_limits(answer.limits, version)
    if version == 10:  # one more server is enough
        free = start("--expire-after=0").tus
        assert Draft(free, version).ask("OPTIONS", free.files)["Upload-Limit"] == "min-size=0"


@rule("R4", "S", "Limits don't become tighter: the sizes stay, and the implied end doesn't come nearer")
def test_r4_limits_over_time(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path, told = draft.begun(DATA[:3], 10), draft.ask("OPTIONS", tus.files).limits
    for _ in range(3):
        seen = draft.head(path).limits
        assert seen["max-size"] == told["max-size"]
        assert seen["min-size"] == told["min-size"]
        assert seen["max-age"] >= told["max-age"] - 2


@rule("R5", "S; contents M", "A creation gets a 104 at once, before its body is read, with Location and Upload-Limit")
def test_r5_first_104(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    headers: Headers = {"Upload-Complete": "?1", "Content-Length": "10"}
    with draft.hang(tus.files, headers, b"", "POST") as connection:
        first = connection.answer()
        assert first.status == 104
        assert first["Upload-Draft-Interop-Version"] == str(version)
        assert first["Location"].startswith(f"{tus.origin}/files/")
        assert "max-size=1000000" in first["Upload-Limit"]
        connection.send(DATA)
        assert read_reply(connection, "POST").over == "?1"


@rule("R6", "M", "Without a version that is known there is no 104")
def test_r6_no_version(tus: Tus, version: int) -> None:
    for other in (None, version + 100, f'"{version}"', f"{version}.0", "x"):
        answer = Draft(tus, other).create("?1", DATA)
        assert (answer.status, answer.over, answer.interim) == (201, "?1", [])
    assert Draft(tus, f"{version};a=1").create("?1", DATA).interim
    for header in ("X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Via", "X-Real-IP"):  # of proxies such as nginx
        answer = Draft(tus, version).create("?1", DATA, {header: "proto=http"})
        assert (answer.status, answer.interim) == (201, []), header


@rule("R7", "m; c", "POST and PUT create; a PUT names the file in its URL, which may look like an id")
def test_r7_post_and_put(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for name, segment in (("a b.txt", "a%20b.txt"), ("0" * 32, "0" * 32), ("ü", "%C3%BC")):
        answer = draft.ask("PUT", f"{tus.files}/{segment}", {"Upload-Complete": "?1"}, DATA)
        path = path_of(answer["Location"])
        assert (answer.status, answer.over, len(path)) == (201, "?1", len("/files/") + 32)
        assert json.loads(tus.progress(path))["fileName"] == name
        assert answer.interim[0]["Location"] == answer["Location"]
    assert draft.ask("GET", f"{tus.files}/a%20b.txt").status == 404


@rule("R8", "8+ S, 6 M", "?1 and the whole body: the final answer with ?1")
def test_r8_all_at_once(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for parts in (None, [DATA[:4], DATA[4:]]):
        answer = draft.create("?1", b"" if parts else DATA, parts=parts)
        assert (answer.status, answer.over, answer.offset) == (201, "?1", 10)
        assert answer["Repr-Digest"].startswith("sha-256=:")
        draft.holds(path_of(answer["Location"]), DATA, 10, "?1")


@rule("R9", "M, S, m by field and version", "?0: 201 with Location, ?0 and Upload-Limit")
def test_r9_begun(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for length in (NONE, TEN):
        for body in (DATA, DATA[:3]):
            answer = draft.create("?0", body, length)
            over = "?1" if body == DATA and length else "?0"  # the last byte of a stated length finishes (RM7)
            assert (answer.status, answer.over, answer.offset) == (201, over, len(body))
            assert "Location" in answer
            if over == "?1":
                continue
            check_limits(answer.limits, version)


@rule("R10", "M", "Location in the 104 and in the final answer is the same")
def test_r10_location(tus: Tus, version: int) -> None:
    for flag in ("?0", "?1"):
        answer = Draft(tus, version).create(flag, DATA)
        assert [first["Location"] for first in answer.interim] == [answer["Location"]]


@rule("R11", "M", "An empty body with ?0 is 201")
def test_r11_empty_and_open(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for length in (NONE, TEN):
        answer = draft.create("?0", b"", length)
        assert (answer.status, answer.over, answer.offset) == (201, "?0", 0)
        draft.holds(path_of(answer["Location"]), DATA, 0)


@rule("R12", "M", "An empty body with ?1 is an empty file")
def test_r12_empty_file(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for headers, parts in ((NONE, None), (TEN | {"Upload-Length": "0"}, None), (NONE, list[bytes]())):
        answer = draft.create("?1", b"", headers, parts)
        assert (answer.status, answer.over, answer.offset) == (201, "?1", 0)
        assert draft.ask("GET", path_of(answer["Location"])).body == b""


@rule(
    "R13", "i; status 6 M, 8+ m", "?1 with another Upload-Length than offset and body have: 400, and nothing is stored"
)
def test_r13_contradiction(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for length in (9, 11):
        answer = draft.create("?1", DATA, {"Upload-Length": str(length)})
        assert (answer.status, answer.over, "Location" in answer) == (400, "?0", False)
        assert json.loads(answer.body)["type"].endswith("#inconsistent-upload-length")
    path = draft.begun(DATA[:4])
    answer = draft.patch(path, 4, "?1", DATA[4:], {"Upload-Length": "11"})
    assert (answer.status, answer.over, answer.offset) == (400, "?0", 4)
    draft.holds(path, DATA, 4)


@rule("R14", "i", "Another length later is refused, also by a ?1 that ends early")
def test_r14_another_length(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun(DATA[:4], 10)
    other: Headers = {"Upload-Length": "12"}
    for headers, flag, body in ((other, "?0", b""), (other, "?1", DATA[4:]), (NONE, "?1", b"4")):
        answer = draft.patch(path, 4, flag, body, headers)
        assert (answer.status, answer.over, answer.offset) == (400, "?0", 4)
        assert json.loads(answer.body)["type"].endswith("#inconsistent-upload-length")
    early = draft.patch(path, 4, "?1", parts=[DATA[4:6]])
    assert (early.status, early.over, early.offset) == (400, "?0", 6), "the end of a chunked body is known last"
    draft.holds(path, DATA, 6)


@rule("R15", "m; field 9+ S", "A length above max-size is 413 with Upload-Limit")
def test_r15_too_large(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun()
    for answer in (
        draft.create("?0", b"", {"Upload-Length": "1000001"}),
        draft.create("?1", b"", {"Content-Length": "1000001"}),
        draft.patch(path, 0, "?0", b"", {"Upload-Length": "1000001"}),
        draft.patch(path, 0, "?0", b"", {"Content-Length": "1000001"}),
    ):
        assert (answer.status, answer.over) == (413, "?0")
        check_limits(answer.limits, version)
    draft.holds(path, DATA, 0)


@rule("R16", "8+ M, 6 c", "Fields of a wrong type are ignored")
def test_r16_wrong_types(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for value in ('"12"', "-1", "1.0", "?1", "1" * 16, "12, 12", "x"):
        path = path_of(draft.create("?0", DATA[:4], {"Upload-Length": value})["Location"])
        assert "Upload-Length" not in draft.head(path), value
        assert draft.patch(path, value, "?0").status == 400, value
        assert draft.patch(path, "4;a=1", "?0;b", b"", {"Upload-Length": value}).status in (201, 204)
    for flag in WRONG:
        assert draft.patch(path, 4, flag, DATA[4:]).status == 400
        answer = draft.create(flag, DATA)
        assert (answer.status, "Location" in answer) == (400, False)
    draft.holds(path, DATA, 4)


@rule("R17", "M (10: showing m)", "A length is recorded at the start of the request, also that of ?1")
def test_r17_length(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for flag, stated in (("?1", NONE), ("?0", TEN)):
        path = draft.begun()
        asked = draft.appending(0, flag, stated | {"Content-Length": "10"})
        with draft.hang(path, asked, b"") as connection:
            poll(lambda path=path: json.loads(tus.progress(path))["fileSize"] == 10)  # type: ignore[misc]
            assert draft.head(path)["Upload-Length"] == "10"
            assert read_reply(connection, "PATCH").status == 423
        assert draft.patch(path, 0, "?0", b"", {"Upload-Length": "11"}).status == 400
        draft.holds(path, DATA, 0)


@rule("R50", "c", "A creation in an unknown version, or in none, is served")
def test_r50_unknown_version(tus: Tus, version: int) -> None:
    for other in (None, version + 100, 3, "-1"):
        draft = Draft(tus, other)
        answer = draft.create("?0", DATA[:4], {"Upload-Length": "10"})
        assert (answer.status, answer.over) == (201, "?0")
        Draft(tus, version).holds(path_of(answer["Location"]), DATA, 4)


@rule("R51", "S", "OPTIONS is not laxer than what the upload gets")
def test_r51_options_are_true(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    told, got = draft.ask("OPTIONS", tus.files).limits, draft.head(draft.begun()).limits
    assert got["max-size"] >= told["max-size"]
    assert got["max-age"] >= told["max-age"] - 2


@rule("R54", "i", "A Content-Encoding is kept: the coded bytes are stored and counted")
def test_r54_content_encoding(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    answer = draft.create("?0", DATA[:4], {"Content-Encoding": "gzip", "Upload-Length": "10"})
    path = path_of(answer["Location"])
    assert answer.offset == 4
    draft.holds(path, DATA, 4)
    assert "contentencoding Z3ppcA==" in tus.head(path)["Upload-Metadata"]


@rule("R57", "8 S", "OPTIONS on the collection tells Accept-Patch")
def test_r57_accept_patch(tus: Tus, version: int) -> None:
    assert Draft(tus, version).ask("OPTIONS", tus.files)["Accept-Patch"] == "application/partial-upload"
