"""What a second worker brings: python tests/benchmarks/one_and_two_workers.py [FOLDER], on a machine with two cores.

One worker has one core, and the client and Redis have the other; two workers have both, and share them with the client
and Redis, which need about a fifth of a core: so the ratio is what a second core for the server brings.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(Path(__file__).parent)]

from contestants import Contestant, onward, running
from redis_process import redis_server
from scenarios import SCENARIOS

ROUNDS = 5
SCENARIO = next(each for each in SCENARIOS if each.name == "eight")


def pinned(contestant: Contestant, cores: str) -> Contestant:
    """Give a contestant some cores."""
    return Contestant(contestant.name, ("taskset", "-c", cores, *contestant.command), folder=False)


def lines(folder: Path) -> Iterator[str]:
    """Measure, and tell the medians."""
    own = os.sched_getaffinity(0)
    try:
        one, two = _medians(folder)
    finally:
        os.sched_setaffinity(0, own)
    yield f"{SCENARIO.title}: {one:.2f} GiB/s by one worker on one core, {two:.2f} by two on two: {two / one:.2f}"


def _medians(folder: Path) -> tuple[float, float]:
    rates: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        os.sched_setaffinity(0, {1})
        with redis_server(Path(place)) as redis:
            for _ in range(ROUNDS):
                for count, cores in ((1, {1}), (2, {0, 1})):
                    redis.flush()
                    os.sched_setaffinity(0, cores)
                    contestant = onward(f"--state={redis.url}", f"--workers={count}")
                    with running(pinned(contestant, "0" if count == 1 else "0,1"), Path(place)) as server:
                        rates[count].append(SCENARIO.amount / SCENARIO.work(server, 1))
    return median(rates[1]), median(rates[2])


if __name__ == "__main__":
    for line in lines(Path(sys.argv[1] if len(sys.argv) > 1 else "/dev/shm")):
        print(line, flush=True)
