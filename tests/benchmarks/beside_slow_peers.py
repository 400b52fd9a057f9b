"""What an honest upload keeps of its rate among slow peers: python tests/benchmarks/beside_slow_peers.py.

500 heads and 200 bodies that never end come from a process of their own and come back whenever they are closed; rounds
without and with them take turns, and the medians are printed. Words that follow are options of the server.
"""

import asyncio
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "support")]

import http_connection as raw
from http_connection import Tus
from server_process import serving
from slow_peers import dribble, loris

LORISES, DRIBBLERS, ROUNDS = 500, 200, 7
SIZE, BLOCK = 2**27, 2**20


async def _again(tus: Tus, path: str | None) -> None:
    while True:
        await (dribble(tus, path, 2**20) if path else loris(tus.port))


async def _peers(port: int, paths: list[str]) -> None:
    await asyncio.gather(*(_again(Tus(port), path) for path in [*paths, *[None] * LORISES]), return_exceptions=True)


def peers(port: int, paths: list[str]) -> None:
    """Be all of the slow peers."""
    asyncio.run(_peers(port, paths))


def rate(tus: Tus, block: bytes) -> float:
    """Give the bytes a second of one upload."""
    path = tus.create(SIZE)
    began = time.perf_counter()
    with raw.Connection(tus.port) as connection:
        connection.send(tus.request("PATCH", path, tus.patching(0, {"Content-Length": str(SIZE)})))
        for _ in range(SIZE // BLOCK):
            connection.send(block)
        assert connection.answer().status == 204
    seconds = time.perf_counter() - began
    assert tus.ask("DELETE", path).status == 204
    return SIZE / seconds


def main() -> None:
    """Measure in turns."""
    raw.PATIENCE = 60.0
    block = os.urandom(BLOCK)
    with tempfile.TemporaryDirectory() as place, serving(Path(place) / "data", sys.argv[1:]) as server:
        tus = server.tus
        paths = [tus.create(2**20) for _ in range(DRIBBLERS)]
        alone, among = [], []
        rate(tus, block)
        for number in range(ROUNDS):
            alone.append(rate(tus, block))
            slow = multiprocessing.Process(target=peers, args=(tus.port, paths), daemon=True)
            slow.start()
            time.sleep(3)
            among.append(rate(tus, block))
            slow.terminate()
            slow.join()
            time.sleep(1)
            ratio = among[-1] / alone[-1]
            print(
                f"round {number}: {alone[-1] / 1e6:.0f} MB/s alone, {among[-1] / 1e6:.0f} among: {ratio:.0%}",
                flush=True,
            )
        print(
            f"medians: {median(alone) / 1e6:.0f} and {median(among) / 1e6:.0f} MB/s: {median(among) / median(alone):.0%}"
        )


if __name__ == "__main__":
    main()
