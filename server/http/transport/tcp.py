"""What the system knows about the peer of a connection: how many bytes it has not accepted, and how to reset it.

The stall watch and `sendfile.py` ask for unaccepted bytes; watchers set options. TCP_USER_TIMEOUT can't replace the
stall watch: Linux counts all the time in which a slow reader's window is closed, even if the reader makes progress.
"""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from contextlib import suppress

STALL = 60.0  # seconds in which a peer has to accept at least one of the bytes that wait for it


def set_option(transport: asyncio.BaseTransport, level: int, option: int, value: int | bytes) -> None:
    """Set an option of a connection's socket; does nothing if the socket is closed or does not know the option."""
    if (sock := transport.get_extra_info("socket")) is not None:
        with suppress(OSError):
            sock.setsockopt(level, option, value)


def reset(transport: asyncio.Transport) -> None:
    """End a connection at once and drop its unsent bytes, which the system would go on sending for minutes."""
    set_option(transport, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def untaken(fd: int) -> int:
    """Return how many bytes the peer of a socket has not acknowledged yet, unsent ones included."""
    return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
