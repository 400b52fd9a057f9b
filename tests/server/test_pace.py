"""Refusals of bad tokens: a few come at once, a flood waits, and others do not wait with it."""

import time
from pathlib import Path

import aiohttp
import pytest
from embedded_server import embedded
from http_connection import UNKNOWN
from token_maker import OwnKey

from onward.server.access.pace import BURST, LONGEST, MOST, RATE, Pace


def test_a_few_refusals_are_not_delayed() -> None:
    pace = Pace()
    assert [pace.wait("a", 5.0) for _ in range(int(BURST))] == [0.0] * int(BURST)
    assert pace.wait("a", 5.0) == pytest.approx(1 / RATE)
    assert pace.wait("b", 5.0) == 0.0
    assert pace.wait("a", 5.0 + 2 * BURST / RATE) == 0.0


def test_a_flood_waits_but_never_longer_than_a_second_and_is_over_soon() -> None:
    pace = Pace()
    waits = [pace.wait("a", 5.0) for _ in range(10_000)]
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(LONGEST)
    assert pace.wait("a", 5.0 + LONGEST + BURST / RATE) == 0.0


def test_the_addresses_that_are_remembered_are_bounded() -> None:
    pace = Pace()
    for number in range(2 * MOST):
        pace.wait(str(number), 5.0)
    assert len(pace._full) == MOST


async def test_a_refusal_waits_and_a_good_token_from_the_same_address_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "wait", lambda *_: LONGEST)
    async with embedded(tmp_path / "data", state="memory:", auth="key") as url, aiohttp.ClientSession() as http:
        token = OwnKey(tmp_path / "data" / "auth.key").token()
        began = time.monotonic()
        async with http.head(f"{url}/{UNKNOWN}", headers={"Authorization": f"Bearer {token}"}) as answer:
            assert (answer.status, time.monotonic() - began < LONGEST) == (404, True)
        for headers in ({}, {"Authorization": "Bearer a.b.c"}):
            began = time.monotonic()
            async with http.head(f"{url}/{UNKNOWN}", headers=headers) as answer:
                assert (answer.status, time.monotonic() - began >= LONGEST) == (401, True)
