"""The peer of a connection, as far as the system knows it: whether it takes what it is sent, and how it is let go.

TCP_USER_TIMEOUT can't tell that: Linux adds up all the time in which a slow reader's window is closed.
"""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from contextlib import suppress

STALL = 60.0  # seconds in which a peer has to take at least a byte of what waits for it


def set_option(transport: asyncio.BaseTransport, level: int, option: int, value: int | bytes) -> None:
    """Set an option of a connection's socket, where it has one that is open and knows it."""
    if (sock := transport.get_extra_info("socket")) is not None:
        with suppress(OSError):
            sock.setsockopt(level, option, value)


def reset(transport: asyncio.Transport) -> None:
    """End a connection at once; the system would go on for minutes to offer what isn't read."""
    set_option(transport, socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def untaken(fd: int) -> int:
    """Give how many bytes the system has for the peer of a socket, or waits for the acknowledgement of."""
    return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
