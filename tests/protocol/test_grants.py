"""A grant narrows the limits of the server, and never widens them."""

import pytest

from onward.protocol.grants import Grant
from onward.protocol.model import Limits


@pytest.mark.parametrize(
    ("granted", "limit", "most"),
    [(None, None, None), (None, 5, 5), (3, None, 3), (3, 5, 3), (5, 5, 5), (9, 5, 5), (0, 5, 0)],
)
def test_the_smaller_limit_counts(granted: int | None, limit: int | None, most: int | None) -> None:
    limits = Limits(max_size=limit, reserve=7)
    assert Grant(max_size=granted).within(limits) == Limits(max_size=most, reserve=7)
