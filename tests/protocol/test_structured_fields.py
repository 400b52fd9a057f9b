"""The items of RFC 9651 that the IETF draft has: values of another type count as absent."""

import pytest

from onward.protocol.structured_fields import MOST, build_counts, parse_boolean, parse_count

PARAMETERS = (
    "", ";a", ";a=1", "; a=?0;*b=-2.5", ';a="x\\"y\\\\"', ";a=tok/en:*", ";a=:YQ==:", ";a=@-1659578233", ';a=%"f%c3%bc"',
)  # fmt: skip
BROKEN = (";", ";A=1", ";a=", ';a="', ";a=:", ";a b", " ;a", ";a=1.", ";a=\xfc", ';a=%"%C3"', ",", ", ?1", ", 5")


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_parameters_are_ignored(parameters: str) -> None:
    assert parse_boolean(f"?1{parameters}") is True
    assert parse_boolean(f" ?0{parameters}  ") is False
    assert parse_count(f"5{parameters}") == 5


@pytest.mark.parametrize("rest", BROKEN)
def test_a_value_that_can_not_be_parsed_is_absent(rest: str) -> None:
    assert parse_boolean(f"?1{rest}") is None
    assert parse_count(f"5{rest}") is None


@pytest.mark.parametrize("value", [None, "", " ", "1", "true", "?2", "?", "?1?1", "? 1", '"?1"', "\t?1", "?1\n", "?١"])
def test_only_a_boolean_is_one(value: str | None) -> None:
    assert parse_boolean(value) is None


@pytest.mark.parametrize(
    "value", [None, "", "-1", "+1", "1.0", '"5"', "?1", "five", "0x5", "1e3", "1 2", "1" * 16, "٣", "5\n"]
)
def test_only_an_integer_that_is_not_negative_is_a_count(value: str | None) -> None:
    assert parse_count(value) is None


@pytest.mark.parametrize(("value", "count"), [("0", 0), ("-0", 0), ("007", 7), ("9" * 15, MOST)])
def test_an_integer_has_fifteen_digits_at_most(value: str, count: int) -> None:
    assert parse_count(value) == count


def test_a_dictionary_of_integers_is_written() -> None:
    assert build_counts({"max-size": 2**63, "min-size": 0}) == f"max-size={MOST}, min-size=0"
