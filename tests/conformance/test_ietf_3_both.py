"""One upload in both protocols (rules RM1 to RM11)."""

import hashlib
import json
from base64 import b64encode

from conformance import rule
from draft_requests import Draft, Reply, read_reply
from http_connection import Headers, Tus, chunked, path_of, poll

OPTIONS = ["--max-size=1000000"]
DATA = b"0123456789"


def digest(data: bytes) -> Headers:
    return {"Repr-Digest": f"sha-256=:{b64encode(hashlib.sha256(data).digest()).decode()}:"}


def progress(tus: Tus, path: str) -> dict[str, object]:
    shown: dict[str, object] = json.loads(tus.progress(path))
    return shown


@rule("RM1", "c", "What tus has created, the draft resumes and finishes, and the other way round")
def test_rm1_resumed_by_the_other(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    draft.holds(tus.begun(DATA, 4), DATA, 4)
    tus.check_holds(draft.begun(DATA[:4], 10), DATA, 4)


@rule("RM2", "c", "They may take turns as often as they like")
def test_rm2_turns(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun(DATA[:1], 10)
    for at in range(1, 9, 2):
        assert tus.offset(path) == at
        assert tus.patch(path, at, DATA[at : at + 1]).status == 204
        assert draft.head(path).offset == at + 1
        assert draft.patch(path, at + 1, "?0", DATA[at + 1 : at + 2]).offset == at + 2
    tus.check_holds(path, DATA, 9)
    assert draft.head(path).over == "?1"


@rule("RM3", "c", "An unknown length is told in each protocol's way, and either may state it")
def test_rm3_length(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for path in (draft.begun(DATA[:4]), tus.create(None)):
        at = tus.offset(path)
        assert tus.head(path)["Upload-Defer-Length"] == "1"
        assert "Upload-Length" not in draft.head(path)
        if at:
            assert tus.patch(path, at, DATA[at:], {"Upload-Length": "10"}).status == 204
        else:
            assert draft.patch(path, at, "?1", DATA).over == "?1"
        assert (tus.head(path)["Upload-Length"], draft.head(path)["Upload-Length"]) == ("10", "10")
        assert tus.ask("GET", path).body == DATA


@rule("RM4", "c", "Watchers see no difference")
def test_rm4_watchers(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    ours, theirs = draft.begun(DATA[:4], 10), tus.begun(DATA, 4)
    assert draft.patch(ours, 4, "?1", DATA[4:]).over == "?1"
    assert tus.patch(theirs, 4, DATA[4:]).status == 204
    own = ("uploadId", "seq", "lastUpdated", "bytesPerSecond", "path")
    shown = [{key: value for key, value in progress(tus, path).items() if key not in own} for path in (ours, theirs)]
    assert shown[0] == shown[1]


@rule("RM5", "c", "A promised SHA-256 counts whoever brings the bytes: 460 with ?1, then 410 in both")
def test_rm5_promise(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    right = draft.create("?0", DATA[:4], digest(DATA))
    done = tus.patch(path_of(right["Location"]), 4, DATA[4:], {"Upload-Length": "10"})
    assert (done.status, done["Repr-Digest"]) == (204, digest(DATA)["Repr-Digest"])
    path = tus.create(10, digest(DATA[1:]))
    bad = draft.patch(path, 0, "?1", DATA)
    assert (bad.status, bad.over, bad.offset) == (460, "?1", None)
    for answer in (draft.head(path), draft.patch(path, 10, "?1"), tus.head(path), tus.patch(path, 10)):
        assert (answer.status, "Upload-Offset" in answer) == (410, False)
    assert [answer.over for answer in (draft.head(path), draft.patch(path, 10, "?1"), draft.patch(path, 0, "?0"))] == [
        "?1"
    ] * 3
    at_once = draft.create("?1", DATA, digest(DATA[1:]))
    assert (at_once.status, at_once.over) == (460, "?1")


@rule("RM6", "c", "A second promise that differs is 400, and nothing is stored")
def test_rm6_two_promises(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = tus.create(10, digest(DATA))
    answer = draft.patch(path, 0, "?1", DATA, digest(DATA[1:]))
    assert (answer.status, answer.over, answer.offset) == (400, "?0", 0)
    assert tus.patch(path, 0, DATA, digest(DATA[1:])).status == 400
    draft.holds(path, DATA, 0)


@rule("RM7", "c", "The last byte of a known length finishes the upload, also by ?0, and everybody sees it finished")
def test_rm7_last_byte(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun(DATA[:4], 10)
    last = draft.patch(path, 4, "?0", DATA[4:])
    assert (last.status, last.over, last.offset) == (200, "?1", 10)
    assert last["Repr-Digest"] == draft.head(path)["Repr-Digest"] == tus.head(path)["Repr-Digest"]
    assert (draft.head(path).over, tus.offset(path), tus.ask("GET", path).body) == ("?1", 10, DATA)
    assert progress(tus, path)["completed"] is True
    bad = draft.create("?0", DATA, digest(DATA[1:]) | {"Upload-Length": "10"})
    assert (bad.status, bad.over) == (460, "?1")
    unknown = draft.begun(DATA)
    assert (draft.head(unknown).over, progress(tus, unknown)["completed"]) == ("?0", False)
    for ending in ("head", "patch"):  # the one case in which all bytes are there and nothing is finished
        path = draft.begun(b"", 10)
        chunks: Headers = {"Transfer-Encoding": "chunked", "Content-Length": None}
        with draft.hang(path, draft.appending(0, "?1", chunks), chunked([DATA[:9]])) as connection:
            poll(lambda path=path: progress(tus, path)["uploadedBytes"] == 9)  # type: ignore[misc]
            connection.send(chunked([DATA[9:]]))
            connection.finish()
            connection.read_rest()
        assert (draft.head(path).offset, draft.head(path).over) == (10, "?0")
        answer = tus.head(path) if ending == "head" else tus.patch(path, 10)
        assert (answer["Upload-Offset"], answer["Repr-Digest"]) == ("10", digest(DATA)["Repr-Digest"])
        assert (draft.head(path).over, tus.ask("GET", path).body) == ("?1", DATA)


@rule("RM8", "c", "A wrong offset is 409 in both")
def test_rm8_wrong_offset(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun(DATA[:4], 10)
    assert (draft.patch(path, 3, "?0", b"x").status, tus.patch(path, 3, b"x").status) == (409, 409)
    draft.holds(path, DATA, 4)


@rule("RM9", "c", "What one has deleted is 410 for the other")
def test_rm9_deleted(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    path = draft.begun(DATA[:4], 10)
    assert tus.ask("DELETE", path).status == 204
    assert draft.head(path).status == 410
    path = tus.begun(DATA, 4)
    assert draft.ask("DELETE", path).status == 204
    assert tus.head(path).status == 410


@rule("RM10", "c", "Content-Disposition and Content-Type are the metadata filename and filetype")
def test_rm10_metadata(tus: Tus, version: int) -> None:
    named: Headers = {
        "Content-Type": "text/plain",
        "Content-Disposition": "inline; filename=\"a.txt\"; filename*=UTF-8''a%20b.txt",
    }
    path = path_of(Draft(tus, version).create("?0", DATA, named)["Location"])
    pairs = dict(pair.split(" ") for pair in tus.head(path)["Upload-Metadata"].split(","))
    assert pairs == {"filename": b64encode(b"a b.txt").decode(), "filetype": b64encode(b"text/plain").decode()}
    assert progress(tus, path)["fileName"] == "a b.txt"


@rule("RM11", "c", "A request in one protocol ends a body of the other that hangs")
def test_rm11_rivals(tus: Tus, version: int) -> None:
    draft = Draft(tus, version)
    for old in ("tus", "draft"):
        path = draft.begun(b"", 10)
        headers: Headers = draft.appending(0, "?1", {"Content-Length": "10"})
        if old == "tus":
            headers = tus.patching(0, {"Content-Length": "10", "Tus-Resumable": "1.0.0"})
            headers["Upload-Draft-Interop-Version"] = None
        with draft.hang(path, headers, DATA[:4]) as connection:
            poll(lambda path=path: progress(tus, path)["uploadedBytes"] == 4)  # type: ignore[misc]
            offset = draft.head(path).offset if old == "tus" else tus.offset(path)
            assert offset == 4
            ended: Reply = read_reply(connection, "PATCH")
        assert ended.status == 423
        draft.holds(path, DATA, 4)
