"""Two requests to one upload that start at the same moment, each on its own connection and thread."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from threading import Barrier

from http_connection import Answer, Connection, Tus

SIZE = 150_000


@dataclass(frozen=True, slots=True)
class Request:
    """A request in two halves: the first is sent before the moment, the second at it, after a wait in seconds."""

    method: str
    data: bytes
    first: int = 0
    after: float = 0.0


def patch(tus: Tus, path: str, offset: int, body: bytes, drawn: random.Random) -> Request:
    """Write a PATCH that is sent up to somewhere in its headers or its body."""
    data = tus.request("PATCH", path, tus.patching(offset, {"Connection": "close"}), body)
    head = len(data) - len(body)
    return Request("PATCH", data, drawn.choice((head // 2, head, head + len(body) // 3)), drawn.choice((0.0, 0.001)))


def plain(tus: Tus, method: str, path: str, drawn: random.Random) -> Request:
    """Write a request without a body."""
    return Request(method, tus.request(method, path, {"Connection": "close"}), 10, drawn.choice((0.0, 0.001, 0.003)))


def duel(tus: Tus, pool: ThreadPoolExecutor, *requests: Request) -> list[Answer]:
    """Send them at one moment and give their answers."""
    barrier = Barrier(len(requests))

    def fight(request: Request) -> Answer:
        with Connection(tus.port) as connection:
            connection.send(request.data[: request.first])
            barrier.wait()
            time.sleep(request.after)
            with suppress(ConnectionError):  # refused before it was sent to its end
                connection.send(request.data[request.first :])
            return connection.answer(request.method)

    return list(pool.map(fight, requests))
