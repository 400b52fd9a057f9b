"""Sizes, times and counts are read as people write them, shown so that they can be read again, and bounded."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.protocol.quantities import (
    MOST_BYTES,
    MOST_SECONDS,
    read_number,
    read_size,
    read_time,
    show_size,
    show_time,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), (" 12 ", 12), ("7b", 7), ("8K", 8192), ("8k", 8192), ("64KiB", 65536), ("5G", 5 * 2**30),
        ("10GB", 10**10), ("10 GB", 10**10), ("1.5M", 3 * 2**19), ("2TiB", 2**41), ("1PB", 10**15),
        (str(MOST_BYTES), MOST_BYTES), (4096, 4096), (1e9, 10**9), ("0.5", 1), (0.5, 1),
    ],
)  # fmt: skip
def test_a_size_is_read(text: object, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0), ("30s", 30), ("500ms", 0.5), ("5m", 300), ("2h", 7200), ("7d", 604800), ("1w", 604800), ("1.5 h", 5400),
        ("36500d", MOST_SECONDS), (2, 2), (0.25, 0.25),
    ],
)  # fmt: skip
def test_a_time_is_read(text: object, seconds: float) -> None:
    assert read_time(text) == seconds


NEITHER = (
    "",
    "much",
    "5X",
    "-1",
    "1e3",
    "5 5",
    "٣",
    "inf",
    "nan",
    "1" * 31,
    None,
    True,
    [5],
    float("inf"),
    float("nan"),
)


@pytest.mark.parametrize("value", NEITHER)
@pytest.mark.parametrize(("read", "name"), [(read_size, "size"), (read_time, "time")])
def test_what_is_no_quantity_is_refused_with_an_example(
    read: Callable[[object], object], name: str, value: object
) -> None:
    with pytest.raises(ValueError, match=f"is not a {name}: write a number of .*, or a {name} such as ") as error:
        read(value)
    assert str(error.value).startswith(repr(value))


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (read_size, MOST_BYTES + 1), (read_size, "8193PiB"), (read_size, -1), (partial(read_size, least=1), 0),
        (read_time, 1e12), (read_time, "36501d"), (read_time, -5), (partial(read_time, positive=True), "0"),
        (read_number, -1), (partial(read_number, least=1), "0"), (partial(read_number, most=65535), 65536),
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_refused_with_the_range(read: Callable[[object], object], value: object) -> None:
    with pytest.raises(ValueError, match="is out of range: ") as error:
        read(value)
    assert str(error.value).startswith(repr(value))


@pytest.mark.parametrize("value", ["abc", "", "1.0", 1.0, True, None, "1" * 31])
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        read_number(value)


def test_a_whole_number_is_read() -> None:
    assert (read_number(" 8080 "), read_number(3, least=1, most=3)) == (8080, 3)


@given(st.integers(0, MOST_BYTES))
def test_a_size_that_is_shown_can_be_read_again(size: int) -> None:
    assert read_size(show_size(size)) == size
    assert read_size(show_size(size // 2**30 * 2**30)) == size // 2**30 * 2**30


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0"), (0.5, "0.5s"), (75, "75s"), (300, "5m"), (7200, "2h"), (604800, "7d")]
)
def test_a_time_is_shown_with_its_unit(seconds: float, text: str) -> None:
    assert show_time(seconds) == text
    assert read_time(text) == seconds


@pytest.mark.parametrize(("size", "text"), [(0, "0"), (1000, "1000"), (2**26, "64MiB"), (5 * 2**40, "5TiB")])
def test_a_size_is_shown_with_its_unit(size: int, text: str) -> None:
    assert show_size(size) == text
