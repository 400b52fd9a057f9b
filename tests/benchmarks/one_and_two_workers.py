"""What a second worker brings: python tests/benchmarks/one_and_two_workers.py [FOLDER], as root, on two cores or more.

Each worker may take six tenths of a core (control groups see to it), be there one or two: so two cores have room for
both and for the client and Redis, which would otherwise have to wait for a core just where there are two workers. There
are 64 connections because the kernel spreads them by a hash: of 8, one worker would often have 5 or 6.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(Path(__file__).parent)]

from contestants import Running, onward, running
from redis_process import redis_server
from scenarios import SCENARIOS

ROUNDS = 5
SHARE, PERIOD = 0.6, 100_000  # of a core, in each so many microseconds
GROUPS = Path("/sys/fs/cgroup")
SCENARIO = next(each for each in SCENARIOS if each.name == "many")


@contextmanager
def limited(pid: int) -> Iterator[None]:
    """Let a process have its share of a core and no more."""
    old = GROUPS / "cpu"  # of version 1
    folder = (old if old.is_dir() else GROUPS) / f"onward-{pid}"
    folder.mkdir()
    try:
        if old.is_dir():
            (folder / "cpu.cfs_period_us").write_text(str(PERIOD))
            (folder / "cpu.cfs_quota_us").write_text(str(int(SHARE * PERIOD)))
        else:
            (folder / "cpu.max").write_text(f"{int(SHARE * PERIOD)} {PERIOD}")
        (folder / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for each in (folder / "cgroup.procs").read_text().split():
            (folder.parent / "cgroup.procs").write_text(each)
        folder.rmdir()


def _workers(server: Running) -> list[int]:
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in children] or [pid]


def lines(folder: Path) -> Iterator[str]:
    """Measure, and tell the medians."""
    if os.geteuid():
        yield f"{SCENARIO.title}, by one worker and by two: not measured, since that needs root"
        return
    rates: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(dir=folder) as place, redis_server(Path(place)) as redis:
        for _ in range(ROUNDS):
            for count, measured in rates.items():
                redis.flush()
                contestant = onward(f"--state={redis.url}", f"--workers={count}")
                with running(contestant, Path(place)) as server, ExitStack() as limits:
                    for pid in _workers(server):
                        limits.enter_context(limited(pid))
                    measured.append(SCENARIO.amount / SCENARIO.work(server, 1))
    one, two = median(rates[1]), median(rates[2])
    yield f"{SCENARIO.title}: {one:.2f} GiB/s by one worker, {two:.2f} by two, each with {SHARE} of a core: {two / one:.2f}"


if __name__ == "__main__":
    for line in lines(Path(sys.argv[1] if len(sys.argv) > 1 else "/dev/shm")):
        print(line, flush=True)
