"""Sends one odd request to a running server, and checks what must hold after each of them."""

import re
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from http_connection import Answer, Connection
from server_process import Server

STORED, LENGTH = b"01234", 10
PAUSE = 0.05
ID = "%ID"  # in a path or a header: the path of an open upload


@dataclass(frozen=True, slots=True)
class Row:
    """A request as it goes over the line, and the statuses that may answer it.

    `pause_after` is how many bytes of it go first, for the server to begin with.
    """

    request: bytes
    allowed: Collection[int] = (400,)
    method: str = ""
    pause_after: int = 0


def strike(server: Server, row: Row) -> Answer:
    """Send a request about an open upload; check its one answer, and that nothing else has changed."""
    before = files(server)
    path = server.tus.begun(STORED + b"-" * (LENGTH - len(STORED)), len(STORED))
    with Connection(server.tus.port) as connection:
        with suppress(ConnectionError):  # refused before it was sent to its end
            first, rest = row.request[: row.pause_after], row.request[row.pause_after :]
            connection.send(first.replace(ID.encode(), path.encode()))
            if first:
                time.sleep(PAUSE)
            connection.send(rest.replace(ID.encode(), path.encode()))
        answer = connection.answer(row.method)
        with suppress(OSError):
            connection.finish()
        assert not re.search(rb"HTTP/1\.[01] [0-9]{3} ", connection.read_rest()), "a second answer"
    assert answer.status in row.allowed, answer
    for secret in (b"Traceback", str(server.data).encode(), b"site-packages", b'.py"'):
        assert secret not in answer.body
    assert server.tus.offset(path) == len(STORED)
    assert server.tus.ask("DELETE", path).status == 204
    assert files(server) - before == set()
    return answer


def files(server: Server) -> set[str]:
    """Give the names of all files in and beside the data folder, but not those of a file's own making."""
    return {str(file.relative_to(server.data.parent)) for file in server.data.parent.rglob("*")}
