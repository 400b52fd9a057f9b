"""What systemd passes to the server and is told by it: listening sockets, and that connections are accepted.

`server/listen.py` takes the sockets, `server/cli.py` tells that the server is ready. Both are the protocols that
sd_listen_fds(3) and sd_notify(3) describe. Without systemd, or without a socket unit, nothing happens here.
"""

import logging
import os
import socket

from onward.server.config import ConfigError

FIRST = 3  # the descriptor of the first socket
COUNT, OWNER, NOTIFY = "LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET"
log = logging.getLogger("onward")


class Inherited(socket.socket):
    """A listening socket that systemd has opened, and keeps open when the server ends."""


def inherited_listeners() -> list[Inherited]:
    """Return the sockets of a socket unit, or none.

    Raises ConfigError if one of them accepts no connections, or if it is not said how many there are.
    """
    if os.environ.get(OWNER) != str(os.getpid()):  # they were meant for another process, such as our parent
        return []
    count = os.environ.get(COUNT, "0")
    if not (count.isascii() and count.isdigit()):
        raise ConfigError(COUNT, f"{count!r} is not a number of sockets; systemd sets it")
    found: list[Inherited] = []
    for number in range(FIRST, FIRST + int(count)):
        try:
            os.set_inheritable(number, False)
            listener = Inherited(fileno=number)
            listens = listener.type == socket.SOCK_STREAM and listener.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN
            )
        except OSError:
            listens = False
        if not listens:
            raise ConfigError(
                COUNT, f"descriptor {number} does not accept connections; a socket unit needs ListenStream="
            )
        found.append(listener)
    return found


def notify_ready() -> None:
    """Tell systemd that connections are accepted, if it wants to know (`Type=notify`)."""
    address = os.environ.get(NOTIFY)
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"READY=1", address.replace("@", "\0", 1) if address.startswith("@") else address)
    except OSError as error:  # the variable may be left from another service
        log.warning("systemd can't be told that the server is ready, at %s: %s", address, error.strerror)
