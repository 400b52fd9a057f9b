"""Free ports of the loopback interface."""

import random
import socket

PORTS = range(10_100, 32_000)  # above the last that browsers refuse, below those that the system gives to connections, which could take one meanwhile
_random = random.SystemRandom()


def free_port() -> int:
    """Give a port that nobody listens on now."""
    while True:
        port = _random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
