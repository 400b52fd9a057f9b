"""Finds out at the start whether this aiohttp has the undocumented parts that the package uses.

The package's docstring lists them, with the fallback for each. `server.py` calls the checks when the server starts.
"""

from collections.abc import Callable, Iterable
from typing import Any

import aiohttp
from aiohttp import StreamReader, web, web_protocol

TESTED = ((3, 14, 5), (3, 15))  # the first version, and the first one that is too new; the same as in pyproject.toml
CONNECTION = (
    "_current_request", "_keepalive_handle", "_loop", "_messages", "_next_keepalive_close_time", "_process_keepalive",
    "_waiter",
)  # fmt: skip
SHORT = ("_close", "_force_close", "_keepalive_timeout", "_parser", "_upgraded")
OF_SHORT = ("headers", "method", "path", "should_close", "version")  # parts of a parsed message
FAST = ("_parser", "_read_bufsize", "_max_msg_queue_size")


class _Absent:
    """Stands in for a class that this aiohttp does not have; nothing is an instance of it."""


ErrInfo: Any = getattr(web_protocol, "_ErrInfo", _Absent)


def is_tested(version: str = aiohttp.__version__) -> bool:
    """Return whether the tests are run with this version of aiohttp."""
    numbers = tuple(int(word) for word in version.split(".")[:3] if word.isdigit())
    return TESTED[0] <= numbers < TESTED[1]


def missing_for_connections(connection: web.RequestHandler) -> list[str]:
    """Return the names that `Connection` needs and that a connection of this aiohttp does not have."""
    return ([] if ErrInfo is not _Absent else ["_ErrInfo"]) + _missing(connection, CONNECTION)


def missing_for_bypass(connection: web.RequestHandler, fresh_parser: Callable[[], Any]) -> list[str]:
    """Return the names that are missing for reading bodies past aiohttp; also tries the parser that follows a body."""
    if names := _missing(connection, FAST):
        return names
    try:
        messages, _, rest = fresh_parser().feed_data(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    except Exception as error:  # any fault at all means that this parser must not be used
        return [f"HttpRequestParser as it was: {error!r}"]
    return [] if len(messages) == 1 and not rest else ["HttpRequestParser as it was"]


def missing_for_fast_paths(connection: web.RequestHandler, fresh_parser: Callable[[], Any]) -> list[str]:
    """Return the names that are missing for answering requests past aiohttp; also tries the parser for that."""
    if names := _missing(connection, SHORT):
        return names
    try:
        parser = fresh_parser()
        ((message, body),), _, _ = parser.feed_data(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        parser.message_consumed()
    except Exception as error:  # any fault at all means that this parser must not be used
        return [f"HttpRequestParser as it was: {error!r}"]
    missing = [name for name in OF_SHORT if not hasattr(message, name)]
    return missing if body.is_eof() else [*missing, "an end of the body of HEAD"]


def take_held(stream: StreamReader) -> bytes:
    """Take the bytes that a stream holds back once it has an exception; empty if this aiohttp keeps them elsewhere."""
    parts, skip = getattr(stream, "_buffer", None), getattr(stream, "_buffer_offset", None)
    if parts is None or skip is None:
        return b""
    rest = b"".join(parts)[skip:]
    parts.clear()
    stream._buffer_offset = 0
    return rest


def _missing(connection: web.RequestHandler, names: Iterable[str]) -> list[str]:
    return [name for name in names if not hasattr(connection, name)]
