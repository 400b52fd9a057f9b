"""The part of Structured Fields (RFC 9651) that the IETF draft needs: Booleans, Integers, and Dictionaries of Integers.

A value that can't be parsed, or that has another type, is None: the draft lets it count as an absent field. Parameters
are allowed, and ignored.
"""

import re
from collections.abc import Mapping

MOST = 10**15 - 1  # the largest Integer

_KEY = r"[a-z*][a-z0-9_.*-]*"
_BARE = (
    r"-?[0-9]{1,12}\.[0-9]{1,3}"
    r"|-?[0-9]{1,15}"
    r'|"(?:[ !#-\[\]-~]|\\["\\])*"'
    r"|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*"
    r"|:[A-Za-z0-9+/=]*:"
    r"|\?[01]"
    r"|@-?[0-9]{1,15}"
    r'|%"(?:[ !#$&-~]|%[0-9a-f]{2})*"'
)
_PARAMETERS = rf"(?:; *{_KEY}(?:=(?:{_BARE}))?)*"
_BOOLEAN = re.compile(rf" *\?([01]){_PARAMETERS} *", re.ASCII)
_INTEGER = re.compile(rf" *(-?[0-9]{{1,15}}){_PARAMETERS} *", re.ASCII)


def parse_boolean(value: str | None) -> bool | None:
    """Read an Item that is a Boolean; None for anything else."""
    match = _BOOLEAN.fullmatch(value) if value else None
    return None if match is None else match[1] == "1"


def parse_count(value: str | None) -> int | None:
    """Read an Item that is an Integer and not negative; None for anything else."""
    match = _INTEGER.fullmatch(value) if value else None
    if match is None or (count := int(match[1])) < 0:
        return None
    return count


def build_counts(members: Mapping[str, int]) -> str:
    """Write a Dictionary of Integers, with at least one member. What is too large becomes the largest Integer."""
    return ", ".join(f"{key}={min(value, MOST)}" for key, value in members.items())
