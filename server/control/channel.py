"""The Unix socket in the data folder between the operator's commands and a running server, and what is said over it.

Only its own user, and root, may connect. A request and each answer are one line of JSON. The last line says that all
went well, so that a server that died in the middle is noticed.

The path of a Unix socket has at most 107 bytes, and the path of a data folder may be longer. So the folder is opened,
and the socket is named by way of the open folder in /proc.
"""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

NAME = "control.sock"
MODE = 0o600
LONGEST = 2**20  # bytes of a line
END = b'{"end":true}\n'
WITHIN = 5.0  # seconds for a connection, and for a request
_BACKLOG = 16
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Request(msgspec.Struct, frozen=True):
    """What a command asks a server for."""

    command: str
    arguments: dict[str, Any] = {}


def encode(line: object) -> bytes:
    """Write an object as one line."""
    return msgspec.json.encode(line) + b"\n"


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[int, str]]:
    """Open a folder, and return its descriptor and a short address of the socket in it; raises OSError."""
    fd = os.open(folder, _FOLDER)
    try:
        yield fd, f"/proc/self/fd/{fd}/{NAME}"
    finally:
        os.close(fd)


def connect(folder: Path) -> socket.socket | None:
    """Connect to the server of a data folder; returns None if there is none.

    Raises OSError, also if it belongs to another user.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(WITHIN)
    try:
        with _opened(folder) as (_, address):
            connection.connect(address)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    connection.setblocking(False)
    return connection


def listen(folder: Path) -> socket.socket:
    """Listen in a data folder; removes the socket of a server that was killed. Raises OSError with a reason."""
    with _opened(folder) as (fd, address):
        _remove_dead(folder, fd)
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(address)
            os.chmod(NAME, MODE, dir_fd=fd)  # in time: no client can connect before listen() below
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
    return listener


def _remove_dead(folder: Path, fd: int) -> None:
    """Remove a socket at which no server listens; raises OSError if one does, or if it is something else."""
    try:
        found = os.stat(NAME, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError("it exists, and is not a socket")
    if (server := connect(folder)) is not None:
        server.close()
        raise OSError("another server listens there")
    os.unlink(NAME, dir_fd=fd)


def remove(folder: Path) -> None:
    """Remove the socket of a server that stops."""
    with suppress(OSError):
        (folder / NAME).unlink()
