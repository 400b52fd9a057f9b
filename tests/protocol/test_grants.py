"""A grant narrows the limits of the server, and never widens them."""

from math import inf

import pytest
from msgspec.structs import replace

from onward.protocol.grants import Grant
from onward.protocol.model import CreateRequest, Limits
from onward.protocol.quantities import MOST_SECONDS


@pytest.mark.parametrize(
    ("granted", "limit", "most"),
    [(None, None, None), (None, 5, 5), (3, None, 3), (3, 5, 3), (5, 5, 5), (9, 5, 5), (0, 5, 0)],
)
def test_the_smaller_limit_counts(granted: int | None, limit: int | None, most: int | None) -> None:
    limits = Limits(max_size=limit, reserve=7)
    assert Grant(max_size=granted).within(limits) == Limits(max_size=most, reserve=7)


CREATION = CreateRequest(
    length=1, metadata="a YQ==", promised=None, body_size=0, has_body=False, owner="eve", expire_after=5.0
)


def test_a_grant_that_says_nothing_changes_nothing() -> None:
    assert Grant().applied_to(CREATION) == CREATION


def test_a_grant_says_who_owns_an_upload_what_is_known_about_it_and_when_it_expires() -> None:
    granted = Grant(owner="alice", metadata={"b": b"\xff"}, expire_after=0.0).applied_to(CREATION)
    assert granted == replace(CREATION, owner="alice", metadata="b /w==", expire_after=0.0)


def test_an_expiry_beyond_all_dates_is_a_hundred_years() -> None:
    assert Grant(expire_after=inf).applied_to(CREATION).expire_after == MOST_SECONDS


def test_an_owner_has_a_thousand_bytes_at_most() -> None:
    Grant(owner="ä" * 500)
    with pytest.raises(ValueError, match="an owner has 1000 bytes at most"):
        Grant(owner="ä" * 500 + "b")
