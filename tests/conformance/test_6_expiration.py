"""Expiration (checks 90 to 95)."""

import re
import time
from datetime import UTC, datetime

from conformance import check
from http_connection import Answer, Tus, poll
from server_process import Server, Start

LIFE = 2
OPTIONS = [f"--expire-after={LIFE}", "--sweep-every=0.3"]
DATA = b"0123456789"
FIXDATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} "
    r"[0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)


def expires(answer: Answer) -> float:
    """Give the time that Upload-Expires tells."""
    told = answer["Upload-Expires"]
    assert FIXDATE.fullmatch(told)
    at = datetime.strptime(told, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    assert told == at.strftime("%a, %d %b %Y %H:%M:%S GMT")  # the day of the week is the right one
    return at.timestamp()


def told_in_time(answer: Answer, began: float) -> bool:
    return int(began + LIFE) <= expires(answer) <= time.time() + LIFE


@check(90, "MUST", "OPTIONS offers expiration where uploads expire")
def test_090_expiration_is_offered(tus: Tus, start: Start) -> None:
    assert "expiration" in tus.ask("OPTIONS", tus.files)["Tus-Extension"].split(",")
    for option in ("--expire-after=0", "--without=expiration"):
        bare = start(option).tus
        assert "expiration" not in bare.ask("OPTIONS", bare.files)["Tus-Extension"].split(",")
        answer = bare.post({"Upload-Length": "10"})
        assert answer.status == 201
        assert "Upload-Expires" not in answer


@check(91, "MUST", "POST tells when the upload will expire")
def test_091_post_tells_the_expiry(tus: Tus) -> None:
    began = time.time()
    assert told_in_time(tus.post({"Upload-Length": "10"}), began)
    assert told_in_time(tus.post({"Upload-Length": "10"}, DATA[:4]), began)


@check(92, "MUST", "PATCH of an upload that will expire tells when, and not of a finished one")
def test_092_patch_tells_the_expiry(tus: Tus) -> None:
    path = tus.create(10)
    for at in range(9):
        began = time.time()
        answer = tus.patch(path, at, DATA[at : at + 1])
        assert answer.status == 204
        assert told_in_time(answer, began)
    answer = tus.patch(path, 9, DATA[9:])
    assert answer.status == 204
    assert "Upload-Expires" not in answer


@check(93, "MUST", "Upload-Expires is a date of the form `Sun, 06 Nov 1994 08:49:37 GMT`")
def test_093_form_of_the_date(tus: Tus, start: Start) -> None:
    for life in (10**9, 2.7):
        now = time.time()
        answer = start(f"--expire-after={life}").tus.post({"Upload-Length": "10"})
        assert int(now + life) <= expires(answer) <= time.time() + life


@check(94, "SHOULD", "An upload that has expired is 410, without an offset, and its bytes are removed")
def test_094_expired(tus: Tus, server: Server) -> None:
    path = tus.begun(DATA, 4)
    assert tus.offset(path) == 4
    poll(lambda: tus.head(path).status == 410)
    poll(lambda: server.kept.of(path) == [])
    answers = [tus.head(path), tus.patch(path, 4, DATA[4:]), tus.ask("GET", path), tus.ask("DELETE", path)]
    assert [answer.status for answer in answers] == [410] * 4
    assert not any("Upload-Offset" in answer for answer in answers)


@check(95, "implied", "A finished upload does not expire")
def test_095_finished_uploads_stay(tus: Tus) -> None:
    done = tus.stored(DATA)
    later = tus.begun(DATA, 4)
    poll(lambda: tus.head(later).status == 410)
    tus.check_holds(done, DATA, 10)
