"""The ids of a request about several uploads, and If-None-Match."""

import pytest

from onward.protocol.errors import BadRequest
from onward.protocol.headers import matches_etag, parse_upload_ids

ONE, OTHER = "a" * 32, "b" * 32


def test_each_id_is_given_once() -> None:
    assert parse_upload_ids([ONE, OTHER, ONE], 2) == [ONE, OTHER]


@pytest.mark.parametrize("words", [[], [ONE, OTHER, "c" * 32], [ONE, "../x"], [""], ["A" * 32]])
def test_none_too_many_and_odd_ones_are_refused(words: list[str]) -> None:
    with pytest.raises(BadRequest):
        parse_upload_ids(words, 2)


@pytest.mark.parametrize(
    ("value", "expected"),
    [('"x"', True), ('W/"x"', True), ('"y", "x"', True), ("*", True), ('"y"', False), ("x", False)],
)
def test_a_tag_is_compared_weakly(value: str, expected: bool) -> None:
    assert matches_etag(value, '"x"') is expected
