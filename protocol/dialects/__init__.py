"""The table of dialects, and how the dialect of a request is found. The server looks a dialect up here.

A new dialect is one file beside this one and one row in DIALECTS. They are asked in this order.
"""

from collections.abc import Sequence

from onward.protocol.dialects import ietf, tus1
from onward.protocol.dialects.dialect import Dialect, Headers, Reply, Request, build_problem

__all__ = ["DEFAULT", "DIALECTS", "Dialect", "Headers", "Reply", "Request", "build_problem", "named"]

DIALECTS: tuple[Dialect, ...] = (*ietf.DIALECTS, tus1.DIALECT)
# The dialect of requests that name none, and of replies to what could not be read as a request.
DEFAULT = tus1.DIALECT


def named(method: str, headers: Headers, dialects: Sequence[Dialect] = DIALECTS) -> Dialect | None:
    """Return the first dialect that claims a request, or None. `headers` must be found in any case."""
    for dialect in dialects:
        for sign in dialect.signs:
            if sign in headers:
                if dialect.claims(method, headers):
                    return dialect
                break
    return None
