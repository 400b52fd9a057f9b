"""Where a large PATCH spends processor time: python tests/benchmarks/where_time_goes.py [FOLDER]; needs perf (Linux).

Samples are told apart by the system call or the library that they fall into, for this server and for the floor.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(Path(__file__).parent)]

from contestants import Contestant, floor, onward, running
from load import upload

SIZE = 2**31
KINDS = (
    ("receive", ("readv", "recvfrom", "tcp_recvmsg")), ("write", ("pwrite",)), ("hand over to a thread", ("futex",)),
    ("state", ("sqlite",)), ("hash", ("libcrypto",)), ("Python", ("python", "_asyncio", "site-packages")),
)  # fmt: skip


def samples(contestant: Contestant, folder: Path) -> list[str]:
    """Give the stacks of a contestant at work, as text."""
    data = str(folder / "perf.data")
    with running(contestant, folder) as server:
        upload(server.port, contestant.path, 2**22)  # so that all threads are there: perf may miss younger ones
        words = ["perf", "record", "-q", "-F", "999", "-g", "-p", str(server.process.pid), "-o", data]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as perf:
            time.sleep(1)  # until it has begun
            upload(server.port, contestant.path, SIZE)
            perf.send_signal(signal.SIGINT)
    told = subprocess.run(
        ["perf", "script", "-i", data, "-F", "ip,sym,dso"], capture_output=True, text=True, check=True
    )
    return [sample for sample in told.stdout.split("\n\n") if sample.strip()]


def kind(sample: str) -> str:
    """Tell what a sample was taken in."""
    innermost = sample.strip().splitlines()[0]
    for name, words in KINDS:
        where = innermost if name in {"hash", "Python"} else sample
        if any(word in where for word in words):
            return name
    return "other"


def main(folder: Path) -> None:
    """Print the shares."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for contestant in (floor(), onward()):
            found = Counter(map(kind, samples(contestant, Path(place))))
            shares = (f"{name} {100 * count / found.total():.0f} %" for name, count in found.most_common())
            print(f"{contestant.name}: {', '.join(shares)}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/dev/shm"))
