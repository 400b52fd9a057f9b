"""How long the client waits, when it gives up, and what an answer means."""

import pytest

from onward.client.answers import judge
from onward.client.errors import GivenUp, Interrupted, Refused, UploadMissing
from onward.client.retry import LONGEST, Backoff
from onward.client.text import printable


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_waits_double_up_to_a_cap_and_begin_anew_after_progress() -> None:
    patience = Backoff(3600, clock=Clock(), dice=lambda _, high: high)
    waits = [patience.wait(Interrupted("cut")) for _ in range(9)]
    assert waits == [0.5, 1, 2, 4, 8, 16, LONGEST, LONGEST, LONGEST]
    patience.progressed()
    assert patience.wait(Interrupted("cut")) == 0.5


def test_the_dice_have_all_the_room() -> None:
    seen: list[tuple[float, float]] = []

    def dice(low: float, high: float) -> float:
        seen.append((low, high))
        return low

    patience = Backoff(3600, clock=Clock(), dice=dice)
    assert [patience.wait(Interrupted("cut")) for _ in range(3)] == [0, 0, 0]
    assert seen == [(0, 0.5), (0, 1), (0, 2)]


def test_the_server_may_ask_for_more() -> None:
    patience = Backoff(3600, clock=Clock(), dice=lambda _, high: high)
    assert patience.wait(Interrupted("busy", 7.0)) == 7


def test_it_gives_up_after_so_long_without_progress_only() -> None:
    clock = Clock()
    patience = Backoff(100, clock=clock, dice=lambda _, high: high)
    clock.now += 10_000  # a long request that went well until it was cut
    patience.wait(Interrupted("cut"))
    clock.now += 90
    patience.wait(Interrupted("cut"))
    patience.progressed()
    clock.now += 90
    patience.wait(Interrupted("cut"))
    clock.now += 99.5
    with pytest.raises(GivenUp, match="cut; no progress in 100 s of trying"):
        patience.wait(Interrupted("cut"))


def test_a_wait_that_is_too_long_is_not_begun() -> None:
    with pytest.raises(GivenUp):
        Backoff(100, clock=Clock()).wait(Interrupted("busy", 101.0))


@pytest.mark.parametrize("status", [408, 409, 423, 425, 429, 500, 502, 503, 504, 507])
def test_these_are_got_over(status: int) -> None:
    with pytest.raises(Interrupted):
        judge(status, {}, b"")


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 405, 412, 413, 415, 431, 460, 501])
def test_these_are_final(status: int) -> None:
    with pytest.raises(Refused) as refused:
        judge(status, {}, b"")
    assert refused.value.status == status


@pytest.mark.parametrize("status", [404, 410])
def test_these_are_gone(status: int) -> None:
    with pytest.raises(UploadMissing):
        judge(status, {}, b"")


def test_a_strangers_words_are_safe_to_print() -> None:
    body = b'{"title": "No", "detail": "Not \\u001b[31mtoday."}'
    with pytest.raises(Refused, match=r"the server answers 403: Not \ufffd\[31mtoday$"):
        judge(403, {"Content-Type": "application/problem+json"}, body)
    assert printable("grün\n") == "grün\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("year", ["2100", "9" * 40])
def test_a_retry_after_of_any_date_is_no_error(year: str) -> None:
    with pytest.raises(Interrupted) as interrupted:
        judge(503, {"Retry-After": f"Fri, 31 Dec {year} 23:59:59 GMT"}, b"")
    assert (interrupted.value.retry_after > 1e6) == (year == "2100")
