"""What this server uses of aiohttp and asyncio beyond their public interfaces, and whether it is there.

aiohttp is pinned to the versions that the tests run with (`pyproject.toml`, and TESTED here). Whoever installs another
one over the pin still gets every byte stored: what is listed below is looked for when the server starts, and where
something is missing the server does without the piece that needs it, and logs one line.

Not public in aiohttp, by whom it is used, and what happens if it is missing:

1. For every connection. If one is missing, aiohttp's own connections are used: then there is no `--header-wait`, no
   `--connections` and no end for a client that reads nothing, broken HTTP is answered in aiohttp's words, and bodies
   come from aiohttp's stream.
   - `web_protocol._ErrInfo`: `Connection.data_received`, `eof_received`.
   - `RequestHandler._messages`, `_current_request`, `_waiter`, `_manager`, `_loop`: all of `Connection`.
   - `RequestHandler._keepalive_handle`, `_next_keepalive_close_time`, `_process_keepalive`:
     `Connection.connection_made`.
   - `Server._kwargs`, `Server._loop`, `BaseRunner._make_server`: `Runner`, to make such connections.
2. For large bodies. If one is missing, they come from aiohttp's stream, as small ones do, only more slowly.
   - `RequestHandler._parser`, `_read_bufsize`, `_max_msg_queue_size`, and the arguments of `HttpRequestParser`:
     `Connection.take_up`.
3. For bytes that a lost connection leaves in aiohttp's stream. If one is missing, the client sends them again.
   - `StreamReader._buffer`, `_buffer_offset`: `held` below, for `RequestBody`.
4. For a start that fails. If it is missing, mounted applications stay open until the process ends.
   - `Application._subapps`: `Runner.setup`.

Of asyncio: `max_size` of its socket transports is set where it exists (`Connection.connection_made`). A `Future` whose
`cancel` gives False makes the cancellation of its task wait (`storage/running/threads.py`); if that changes, the tests
of that file fail.

Public, but used in a way that aiohttp does not promise, and looked for by the tests only: a second file descriptor of
a transport's socket is read (`direct.py`) or written (`sendfile.py`) beside the event loop; bytes are written to a
transport beside aiohttp's writer (`download.py`, `watcher.py`, `sockets.py`); `writer.output_size` is set back after
`100 Continue` (`body.py`).
"""

from collections.abc import Callable, Iterable
from typing import Any

import aiohttp
from aiohttp import StreamReader, web, web_protocol

TESTED = ((3, 14, 5), (3, 15))  # from the first version up to the second one, without that; the pin in pyproject.toml
CONNECTION = (
    "_current_request", "_keepalive_handle", "_loop", "_manager", "_messages", "_next_keepalive_close_time",
    "_process_keepalive", "_waiter",
)  # fmt: skip
FAST = ("_parser", "_read_bufsize", "_max_msg_queue_size")


class _Nothing:
    """Stands for a class of aiohttp that is not there; nothing is an instance of it."""


ErrInfo: Any = getattr(web_protocol, "_ErrInfo", _Nothing)


def is_tested(version: str = aiohttp.__version__) -> bool:
    """Tell whether the tests are run with a version of aiohttp."""
    numbers = tuple(int(word) for word in version.split(".")[:3] if word.isdigit())
    return TESTED[0] <= numbers < TESTED[1]


def missing_for_connections(connection: web.RequestHandler) -> list[str]:
    """Give what `Connection` needs and a connection of this aiohttp has not."""
    return ([] if ErrInfo is not _Nothing else ["_ErrInfo"]) + _missing(connection, CONNECTION)


def missing_for_fast_bodies(connection: web.RequestHandler, fresh_parser: Callable[[], Any]) -> list[str]:
    """Give what reading bodies past aiohttp needs and this aiohttp has not; tries the parser that follows a body."""
    if names := _missing(connection, FAST):
        return names
    try:
        messages, _, rest = fresh_parser().feed_data(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    except Exception as error:  # whatever it is, nothing may be built on that parser
        return [f"HttpRequestParser as it was: {error!r}"]
    return [] if len(messages) == 1 and not rest else ["HttpRequestParser as it was"]


def held(stream: StreamReader) -> bytes:
    """Take what a stream holds but gives to nobody once it has an exception; empty where that can't be had."""
    parts, skip = getattr(stream, "_buffer", None), getattr(stream, "_buffer_offset", None)
    if parts is None or skip is None:
        return b""
    rest = b"".join(parts)[skip:]
    parts.clear()
    stream._buffer_offset = 0
    return rest


def _missing(connection: web.RequestHandler, names: Iterable[str]) -> list[str]:
    return [name for name in names if not hasattr(connection, name)]
