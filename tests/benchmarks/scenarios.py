"""What is measured: each scenario gives the seconds that its work took."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass

from contestants import Running
from load import Client, at_once, bodies, cut, in_turn, metadata, pieces, upload

KIB, MIB, GIB = 2**10, 2**20, 2**30
CONNECTIONS, MANY = 8, 64
SHORT, SHORTS = 4 * KIB, 2000  # bytes of a short upload, and how many of them there are
BYTES = b"".join(pieces(SHORT))
SOCKET = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
WATCHERS = (  # of each kind half: the status of the answer, and the lines of the request
    (200, ("Accept: text/event-stream",)),
    (101, (*SOCKET, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")),
)
WATCHING = 8
FINAL = rb'"status": ?"completed"'


@dataclass(frozen=True, slots=True)
class Scenario:
    """A piece of work of some amount; `scale` shrinks it. With `worst` it gives the p99 of a wait instead."""

    name: str
    title: str
    unit: str
    amount: float
    work: Callable[[Running, float], float]
    worst: bool = False
    floor: bool = True  # whether the floor can do it
    # By the scale: how many files must be there afterwards, and the sizes of the bodies that each of them is made of.
    leaves: Callable[[float], tuple[int, tuple[int, ...]]] | None = None


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _one(size: int, chunk: int | None = None) -> Callable[[Running, float], float]:
    def work(server: Running, scale: float) -> float:
        length = int(size * scale)
        metadata(*bodies(length, chunk))  # hashed before the clock runs
        return _timed(lambda: upload(server.port, server.contestant.path, length, chunk))

    return work


def _several(count: int, size: int) -> Callable[[Running, float], float]:
    def work(server: Running, scale: float) -> float:
        metadata(int(size * scale))
        return _timed(lambda: at_once(server.port, server.contestant.path, count, int(size * scale)))

    return work


def _cut(server: Running, scale: float) -> float:
    return _timed(lambda: cut(server.port, server.contestant.path, 64, int(GIB * scale), int(GIB / 8 * scale)))


def _watched(server: Running, scale: float) -> float:
    size = int(GIB * scale)
    client = Client(server.port, server.contestant.path)
    url = client.create(size, metadata(size))
    watchers = [Client(server.port, url) for _ in range(WATCHING)]
    for number, watcher in enumerate(watchers):
        status, lines = WATCHERS[number % len(WATCHERS)]
        watcher.send(watcher.request("GET", f"{url}/progress", *lines))
        watcher.answer(status, body=False)
    with ThreadPoolExecutor(WATCHING) as pool:
        seen = [pool.submit(watcher.until, FINAL) for watcher in watchers]
        seconds = _timed(lambda: client.patch(url, 0, size))
        for each in seen:
            each.result()
    return seconds


def _creates(server: Running, scale: float) -> float:
    clients = [Client(server.port, server.contestant.path) for _ in range(CONNECTIONS)]

    def work() -> None:
        for _ in range(int(250 * scale)):
            for client in clients:
                client.send(client.creation(SHORT))
            for client, url in [(client, client.created()) for client in clients]:
                client.send(client.patching(url, 0, SHORT) + BYTES)
            for client in clients:
                client.answer(204)

    return _timed(work)


def creates_on_many(server: Running, scale: float) -> float:
    """Create short uploads on 64 connections that don't wait for each other."""
    return _timed(lambda: in_turn(server.port, server.contestant.path, MANY, int(SHORTS * scale), SHORT))


def _posts(server: Running, scale: float) -> float:
    clients = [Client(server.port, server.contestant.path) for _ in range(CONNECTIONS)]

    def work() -> None:
        for _ in range(int(250 * scale)):
            for client in clients:
                client.send(client.bringing(SHORT) + BYTES)
            for client in clients:
                client.stored(SHORT)

    return _timed(work)


def _heads(server: Running, scale: float) -> float:
    clients = [Client(server.port, server.contestant.path) for _ in range(CONNECTIONS)]
    asked = [(client, client.request("HEAD", client.create(SHORT))) for client in clients]

    for client, request in asked:
        client.send(request)
        assert "\r\nupload-offset: 0" in client.answer(200, body=False).lower()

    def work() -> None:
        for _ in range(int(1500 * scale)):
            for client, request in asked:
                client.send(request)
            for client, _ in asked:
                client.answer(200, body=False)

    return _timed(work)


def _head_meanwhile(server: Running, scale: float) -> float:
    size = int(GIB / 4 * scale)
    client, waits = Client(server.port, server.contestant.path), list[float]()
    url = client.create(SHORT)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(metadata, size).result()  # the process is there, and has hashed, before the clock runs
        load = pool.submit(at_once, server.port, server.contestant.path, CONNECTIONS, size)
        while not load.done():
            waits.append(_timed(lambda: client.head(url)))
            time.sleep(0.005)
        load.result()
    return sorted(waits)[int(len(waits) * 0.99)]


def _stored(server: Running, size: int) -> tuple[Client, str]:
    client = Client(server.port, server.contestant.path)
    url = client.create(size, metadata(size))
    client.patch(url, 0, size)
    return client, url


def _download(server: Running, scale: float) -> float:
    client, url = _stored(server, int(GIB * scale))

    def work() -> None:
        client.send(client.request("GET", url))
        client.answer(200)

    return _timed(work)


def _ranges(server: Running, scale: float) -> float:
    size = int(GIB * scale)
    client, url = _stored(server, size)

    def work() -> None:
        for number in range(0, size, MIB):
            start = 7 * number % (size - MIB + 1)  # here and there
            client.send(client.request("GET", url, f"Range: bytes={start}-{start + MIB - 1}"))
            client.answer(206)

    return _timed(work)


def _files(count: int, size: int, chunk: int | None = None) -> Callable[[float], tuple[int, tuple[int, ...]]]:
    return lambda scale: (count, bodies(int(size * scale), chunk))


def _shorts(scale: float) -> tuple[int, tuple[int, ...]]:
    return CONNECTIONS * int(SHORTS // CONNECTIONS * scale), (SHORT,)


SCENARIOS = (
    Scenario("one", "one PATCH of 1 GiB", "GiB", 1, _one(GIB), leaves=_files(1, GIB)),
    Scenario("watched", "the same, with 8 watchers", "GiB", 1, _watched, floor=False, leaves=_files(1, GIB)),
    Scenario(
        "chunks",
        "512 MiB in PATCHes of 1 MiB, one connection",
        "GiB",
        0.5,
        _one(GIB // 2, MIB),
        leaves=_files(1, GIB // 2, MIB),
    ),
    Scenario("eight", "8 uploads of 256 MiB at once", "GiB", 2, _several(8, GIB // 4), leaves=_files(8, GIB // 4)),
    Scenario("many", "64 uploads of 64 MiB at once", "GiB", 4, _several(64, GIB // 16), leaves=_files(64, GIB // 16)),
    Scenario("cut", "64 uploads of 1 GiB at once, cut after 128 MiB", "GiB", 8, _cut),
    Scenario("download", "download of 1 GiB", "GiB", 1, _download, floor=False),
    Scenario("ranges", "download of 1 GiB in ranges of 1 MiB", "GiB", 1, _ranges, floor=False),
    Scenario("creates", "creation and PATCH of 4 KiB, 8 connections", "uploads", SHORTS, _creates, leaves=_shorts),
    Scenario("posts", "creation with 4 KiB in one POST, 8 connections", "uploads", SHORTS, _posts, leaves=_shorts),
    Scenario("heads", "HEAD, 8 connections", "HEADs", 12000, _heads),
    Scenario("meanwhile", "p99 of HEAD while 8 uploads run", "ms", 1, _head_meanwhile, worst=True),
)
