"""The table of dialects, and how the dialect of a request is found. The server looks a dialect up here.

A new dialect is one file beside this one and one row in DIALECTS.
"""

from collections.abc import Sequence

from onward.protocol.dialects import tus1
from onward.protocol.dialects.dialect import Dialect, Headers, Request

__all__ = ["DEFAULT", "DIALECTS", "Dialect", "Headers", "Request", "choose", "named"]

DIALECTS: tuple[Dialect, ...] = (tus1.DIALECT,)
# The dialect of requests that name none, and of replies to what could not be read as a request.
DEFAULT = DIALECTS[0]


def named(headers: Headers, dialects: Sequence[Dialect] = DIALECTS) -> Dialect | None:
    """Return the dialect that a request names by its marker, or None. `headers` must be found in any case."""
    for dialect in dialects:
        if dialect.marker in headers:
            return dialect
    return None


def choose(headers: Headers) -> Dialect:
    """Return the dialect that a request is read and answered in: the one that it names, or else the default."""
    return named(headers) or DEFAULT
