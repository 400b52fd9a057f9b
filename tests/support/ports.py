"""Free ports of the loopback interface."""

import random
import socket

# Below those that the system gives to connections, which could take one meanwhile; above the last that browsers refuse.
PORTS = range(10_100, 32_000)
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
