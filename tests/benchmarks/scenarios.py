"""What is measured: each scenario gives the seconds that its work took."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from contestants import Running
from load import Client, at_once, upload

MIB, GIB = 2**20, 2**30
CONNECTIONS = 8


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


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _one(server: Running, scale: float) -> float:
    return _timed(lambda: upload(server.port, server.contestant.path, int(GIB * scale)))


def _chunks(server: Running, scale: float) -> float:
    return _timed(lambda: upload(server.port, server.contestant.path, int(GIB / 2 * scale), MIB))


def _several(count: int, size: int) -> Callable[[Running, float], float]:
    def work(server: Running, scale: float) -> float:
        return _timed(lambda: at_once(server.port, server.contestant.path, count, int(size * scale)))

    return work


def _creates(server: Running, scale: float) -> float:
    clients = [Client(server.port, server.contestant.path) for _ in range(CONNECTIONS)]

    def work() -> None:
        for _ in range(int(250 * scale)):
            for client in clients:
                client.send(client.creation(4096))
            for client, url in [(client, client.created()) for client in clients]:
                client.send(client.patching(url, 0, 4096) + bytes(4096))
            for client in clients:
                client.answer(204)

    return _timed(work)


def _heads(server: Running, scale: float) -> float:
    clients = [Client(server.port, server.contestant.path) for _ in range(CONNECTIONS)]
    asked = [(client, client.request("HEAD", client.create(4096))) for client in clients]

    def work() -> None:
        for _ in range(int(1500 * scale)):
            for client, request in asked:
                client.send(request)
            for client, _ in asked:
                client.answer(200, body=False)

    return _timed(work)


def _head_meanwhile(server: Running, scale: float) -> float:
    client, waits = Client(server.port, server.contestant.path), list[float]()
    url = client.create(4096)
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(at_once, server.port, server.contestant.path, 8, int(GIB / 4 * scale))
        while not load.done():
            waits.append(_timed(lambda: client.head(url)))
            time.sleep(0.005)
        load.result()
    return sorted(waits)[int(len(waits) * 0.99)]


def _download(server: Running, scale: float) -> float:
    client = Client(server.port, server.contestant.path)
    url, size = client.create(int(GIB * scale)), int(GIB * scale)
    client.patch(url, 0, size)

    def work() -> None:
        client.send(client.request("GET", url))
        client.answer(200)

    return _timed(work)


SCENARIOS = (
    Scenario("one", "one PATCH of 1 GiB", "GiB", 1, _one),
    Scenario("chunks", "512 MiB in PATCHes of 1 MiB, one connection", "GiB", 0.5, _chunks),
    Scenario("eight", "8 uploads of 256 MiB at once", "GiB", 2, _several(8, GIB // 4)),
    Scenario("many", "64 uploads of 64 MiB at once", "GiB", 4, _several(64, GIB // 16)),
    Scenario("download", "download of 1 GiB", "GiB", 1, _download, floor=False),
    Scenario("creates", "creation and PATCH of 4 KiB, 8 connections", "uploads", 2000, _creates),
    Scenario("heads", "HEAD, 8 connections", "HEADs", 12000, _heads),
    Scenario("meanwhile", "p99 of HEAD while 8 uploads run", "ms", 1, _head_meanwhile, worst=True),
)
