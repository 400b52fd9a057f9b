"""Sizes, times and counts as people write them: `64KiB`, `5G`, `7d`.

The options of the server and those of the client are read by this module, so that both take the same words and
refuse wrong ones with the same sentence. Every reader takes what a command line or a TOML file gives, or a number
from code, and raises ValueError with a sentence that shows the value and says what would be right.
"""

import re
from decimal import ROUND_CEILING, Decimal

MOST_BYTES = 2**63 - 1  # what a signed 64-bit offset can hold
MOST_SECONDS = 100 * 365 * 86400.0  # a hundred years: a date must not go beyond the year 9999
SIZE_UNITS = {
    "b": 1,
    **{f"{letter}{rest}": 2 ** (10 * power) for power, letter in enumerate("kmgtp", 1) for rest in ("", "ib")},
    **{f"{letter}b": 10 ** (3 * power) for power, letter in enumerate("kmgtp", 1)},
}
TIME_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_NUMBER_AND_UNIT = re.compile(r"([0-9]{1,30}(?:\.[0-9]{1,30})?) ?([A-Za-z]*)", re.ASCII)
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,30}", re.ASCII)


def read_size(value: object, *, least: int = 0) -> int:
    """Read a number of bytes; K, M, G … (also KiB, MiB …) are powers of 1024, and KB, MB, GB … powers of 1000."""
    size = _times_unit(value, "b", SIZE_UNITS)
    if size is None:
        raise ValueError(f"{value!r} is not a size: write a number of bytes, or a size such as 64KiB, 5G or 10GB")
    if not least <= size <= MOST_BYTES:
        raise ValueError(f"{value!r} is out of range: a size is from {least} to {MOST_BYTES} bytes here")
    return int(size.to_integral_value(ROUND_CEILING))  # a part of a byte must not become 0, which often means no limit


def read_time(value: object, *, positive: bool = False) -> float:
    """Read a number of seconds; `positive` refuses 0."""
    seconds = _times_unit(value, "s", TIME_UNITS)
    if seconds is None:
        raise ValueError(f"{value!r} is not a time: write a number of seconds, or a time such as 30s, 5m, 2h or 7d")
    if not 0 <= seconds <= MOST_SECONDS or (positive and not seconds):
        low = "more than 0" if positive else "0 or more"
        raise ValueError(f"{value!r} is out of range: a time is {low}, and at most 100 years (36500d) here")
    return float(seconds)


def read_number(value: object, *, least: int = 0, most: int = MOST_BYTES) -> int:
    """Read a whole number without a unit."""
    number = int(value) if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value.strip()) else value
    if isinstance(number, bool) or not isinstance(number, int):
        raise ValueError(f"{value!r} is not a whole number")
    if not least <= number <= most:
        right = f"at least {least}" if most == MOST_BYTES else f"from {least} to {most}"
        raise ValueError(f"{value!r} is out of range: it must be {right}")
    return number


def show_size(size: int) -> str:
    """Write a size as `read_size` reads it, with the largest unit that leaves a whole number."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and not size % SIZE_UNITS[unit.lower()]:
            return f"{size // SIZE_UNITS[unit.lower()]}{unit}"
    return str(size)


def show_time(seconds: float) -> str:
    """Write a time as `read_time` reads it; a whole number of minutes, hours or days is written so."""
    for unit in ("d", "h", "m"):
        if seconds and not seconds % TIME_UNITS[unit]:
            return f"{seconds / TIME_UNITS[unit]:g}{unit}"
    return f"{seconds:g}s" if seconds else "0"


def _times_unit(value: object, unit: str, units: dict[str, float] | dict[str, int]) -> Decimal | None:
    """Return the number that a value stands for, in the smallest unit; None if it is no number."""
    if isinstance(value, str):
        found = _NUMBER_AND_UNIT.fullmatch(value.strip())
        factor = found and units.get(found[2].lower() or unit)
        return Decimal(found[1]) * Decimal(str(factor)) if found and factor else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    number = Decimal(value)
    return number if number.is_finite() else None
