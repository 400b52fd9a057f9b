"""What all connections of one server share: their limits, the number of connections from each address, and the
fast paths.

`server.py` makes one `ConnectionLimits`, and each `Connection` enters its address there and leaves it again.
"""

import asyncio
from collections import Counter
from typing import Any, NamedTuple

from onward.server.http.fast_bodies import FastBodies
from onward.server.http.fast_heads import FastHeads
from onward.server.http.fast_path import FastPath
from onward.server.uploads.measures import Measures


class FastPaths(NamedTuple):
    """What answers requests past aiohttp."""

    way: FastPath
    heads: FastHeads
    bodies: FastBodies


class ConnectionLimits:
    """The limits of the connections of one server."""

    __slots__ = ("can_bypass_parser", "counts", "fast", "header_wait", "measures", "per_address", "tasks")

    def __init__(self, header_wait: float, per_address: int) -> None:
        self.header_wait = header_wait  # seconds until the first head of a new connection must have arrived
        self.per_address = per_address  # connections from one address at once; 0 for no limit
        self.can_bypass_parser = False  # whether this aiohttp lets large bodies be read from the socket itself
        self.measures: Measures | None = (
            None  # None in an application that mounts the server: HTTP that can't be read may be meant for any part
        )
        self.fast: FastPaths | None = None  # None if every request takes the slow path
        self.tasks: set[asyncio.Task[Any]] = set()  # of requests that `fast` works on; asyncio does not keep them
        self.counts: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Count a connection, and return whether its address may have it; "" (a Unix socket) has no limit."""
        self.counts[address] += 1
        return not address or not 0 < self.per_address < self.counts[address]

    def leave(self, address: str) -> None:
        """Stop counting a connection; an address without connections is forgotten."""
        self.counts[address] -= 1
        if not self.counts[address]:
            del self.counts[address]
