"""What a second worker brings: python tests/benchmarks/one_and_two_workers.py [FOLDER], as root, on two cores or more.

Each worker may take a share of a core (control groups see to it), be there one or two: so two cores have room for both
and for the client and Redis, which would otherwise have to wait for a core just where there are two workers. The
share is six tenths for large uploads. For small ones it is four, since Redis and the client take more of a core there:
two workers at four tenths leave more than a core to them. Without a limit one worker and Redis fill the two cores.
There are 64 connections because the kernel spreads them by a hash: of 8, one worker would often have 5 or 6. In the
scenario of small uploads they do not wait for each other, so a worker with fewer of them has as much to do.
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

from contestants import Running, on_redis, running
from scenarios import SCENARIOS, SHORTS, Scenario, creates_on_many

ROUNDS, PERIOD = 5, 50_000  # microseconds, in each of which a worker has its share
GROUPS = Path("/sys/fs/cgroup")
LARGE = next(each for each in SCENARIOS if each.name == "many")
SMALL = Scenario("small", "creation and PATCH of 4 KiB, 64 connections", "uploads", SHORTS, creates_on_many)
SHARES = {LARGE: 0.6, SMALL: 0.4}  # of a core


@contextmanager
def limited(pid: int, share: float) -> Iterator[None]:
    """Let a process have its share of a core and no more."""
    old = GROUPS / "cpu"  # of version 1
    folder = (old if old.is_dir() else GROUPS) / f"onward-{pid}"
    folder.mkdir()
    try:
        if old.is_dir():
            (folder / "cpu.cfs_period_us").write_text(str(PERIOD))
            (folder / "cpu.cfs_quota_us").write_text(str(int(share * PERIOD)))
        else:
            (folder / "cpu.max").write_text(f"{int(share * PERIOD)} {PERIOD}")
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
    for scenario, share in SHARES.items():
        if os.geteuid():
            yield f"{scenario.title}, by one worker and by two: not measured, since that needs root"
            continue
        rates = [_rates(scenario, share, folder) for _ in range(ROUNDS)]
        one, two = (median(each) for each in zip(*rates, strict=True))
        ratios = sorted(each[1] / each[0] for each in rates)
        yield (
            f"{scenario.title}: {one:,.2f} {scenario.unit}/s by one worker, {two:,.2f} by two, each with {share} of a "
            f"core: {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def _rates(scenario: Scenario, share: float, folder: Path) -> tuple[float, ...]:
    """Measure one worker, then two."""
    rates = []
    for count in (1, 2):
        contestant = on_redis(f"--workers={count}")
        with ExitStack() as stack:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
            server = stack.enter_context(running(contestant, place))
            for pid in _workers(server):
                stack.enter_context(limited(pid, share))
            rates.append(scenario.amount / scenario.work(server, 1))
    return tuple(rates)


if __name__ == "__main__":
    for line in lines(Path(sys.argv[1] if len(sys.argv) > 1 else "/dev/shm")):
        print(line, flush=True)
