"""What a resume at 90 % costs in a new process: python tests/benchmarks/resuming.py [FOLDER], which needs 8 GiB.

The server is killed with 90 % of a file stored; the rest is sent to a new one. Beside it the same number of bytes is
sent as an upload of its own, so that the difference is what the first 90 % cost again. On SQLite and on Redis.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(Path(__file__).parent)]

from contestants import onward, running
from load import Client, metadata
from redis_process import redis_server

SIZE, ROUNDS = 2**32, 3
REST = SIZE // 10


def seconds(folder: Path, state: str) -> tuple[float, float]:
    """Give the time of the rest, and that of as many bytes alone."""
    contestant = onward(f"--state={state}")
    whole, alone = metadata(SIZE - REST, REST), metadata(REST)  # hashed before the clock runs
    with running(contestant, folder, stays=True) as first:
        client = Client(first.port, "/files")
        url = client.create(SIZE, whole)
        client.patch(url, 0, SIZE - REST)
    with running(contestant, folder, fresh=False) as second:
        client = Client(second.port, "/files")
        began = time.perf_counter()
        client.patch(url, SIZE - REST, REST)
        resumed = time.perf_counter() - began
        began = time.perf_counter()
        client = Client(second.port, "/files")
        client.patch(client.create(REST, alone), 0, REST)
        return resumed, time.perf_counter() - began


def lines(folder: Path) -> Iterator[str]:
    """Measure, and tell the medians of each store."""
    with tempfile.TemporaryDirectory(dir=folder) as place, redis_server(Path(place)) as redis:
        for state in ("sqlite:", redis.url):
            rounds = []
            for _ in range(ROUNDS):
                redis.flush()
                rounds.append(seconds(Path(place), state))
            resumed, alone = (median(each) for each in zip(*rounds, strict=True))
            told = f"{resumed:.2f} s for the last 10 % of 4 GiB in a new process, {alone:.2f} s for as much alone"
            yield f"{state.partition(':')[0]}: {told}: {resumed / alone:.2f}"


if __name__ == "__main__":
    for line in lines(Path(sys.argv[1] if len(sys.argv) > 1 else "/dev/shm")):
        print(line, flush=True)
