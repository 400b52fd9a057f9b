"""HEAD (checks 20 to 27)."""

from conformance import check
from http_connection import UNKNOWN, Headers, Tus

DATA = b"0123456789"
WRONG: Headers = {"Repr-Digest": "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"}


@check(20, "MUST", "HEAD of a new upload tells the offset 0")
def test_020_head_of_a_new_upload(tus: Tus) -> None:
    answer = tus.head(tus.create(10))
    assert (answer.status, answer["Upload-Offset"]) == (200, "0")


@check(21, "MUST", "HEAD of a finished upload tells its length as the offset")
def test_021_head_of_a_finished_upload(tus: Tus) -> None:
    answer = tus.head(tus.stored(DATA))
    assert (answer.status, answer["Upload-Offset"]) == (200, "10")


@check(22, "MUST", "HEAD tells the length where it is known")
def test_022_head_tells_the_length(tus: Tus) -> None:
    for path in (tus.create(10), tus.begun(DATA, 4), tus.stored(DATA)):
        assert tus.head(path)["Upload-Length"] == "10"


@check(23, "MUST", "Answers to HEAD must not be cached")
def test_023_head_is_not_cached(tus: Tus) -> None:
    for path in (tus.create(10), tus.stored(DATA)):
        assert tus.head(path)["Cache-Control"] == "no-store"


@check(24, "SHOULD", "HEAD of an unknown upload is 404, without an offset")
def test_024_head_of_an_unknown_upload(tus: Tus) -> None:
    for name in (UNKNOWN, "nonsense", "..%2fsecret"):
        answer = tus.head(f"{tus.files}/{name}")
        assert answer.status == 404
        assert "Upload-Offset" not in answer


@check(25, "implied", "Refusals of HEAD have no body and no offset")
def test_025_refusals_of_head(tus: Tus) -> None:
    ended, failed = tus.begun(DATA, 4), tus.create(10, WRONG)
    assert tus.ask("DELETE", ended).status == 204
    assert tus.patch(failed, 0, DATA).status == 460
    answers = [
        tus.head(f"{tus.files}/{UNKNOWN}"),
        tus.head(ended),
        tus.head(failed),
        tus.head(tus.begun(DATA, 4), {"Tus-Resumable": "0.2.2"}),
    ]
    assert [answer.status for answer in answers] == [404, 410, 410, 412]
    assert not any("Upload-Offset" in answer for answer in answers)  # that no body follows, each request checks


@check(26, "implied", "PATCH at the offset that HEAD told is taken")
def test_026_patch_at_the_told_offset(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    offset = tus.offset(path)
    assert tus.patch(path, offset, DATA[offset:]).status == 204
    assert tus.ask("GET", path).body == DATA


@check(27, "implied", "HEAD has no effect")
def test_027_head_has_no_effect(tus: Tus) -> None:
    path = tus.begun(DATA, 4)
    assert tus.head(path).told == tus.head(path).told
    tus.check_holds(path, DATA, 4)
