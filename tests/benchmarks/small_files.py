"""How fast `onward upload` sends 10,000 files of 100 B to 4 KiB: python tests/benchmarks/small_files.py [FOLDER …].

With `--before CHECKOUT` an earlier version of the client takes turns with this one, each with a fresh server of this
version. The server runs with its defaults, so it syncs. The processor time of a client includes that of its start.
"""

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(Path(__file__).parent)]

from contestants import Contestant, Running, running

SERVE = (sys.executable, "-m", "onward", "serve", "--port={port}", "--data={data}", "--reserve=0")
SERVER = Contestant("onward", SERVE, folder=False)
SEED, SIZES = 1, (100, 4096)  # bytes


def make(folder: Path, count: int) -> list[str]:
    """Write the files; gives their paths."""
    dice = random.Random(SEED)
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:05}.bin").write_bytes(dice.randbytes(dice.randint(*SIZES)))
    return sorted(map(str, folder.iterdir()))


def send(version: Path, files: list[str], server: Running, state: Path) -> tuple[float, float, float]:
    """Send the files; gives the seconds, and the processor seconds of the client and of the server."""
    environ = {**os.environ, "PYTHONPATH": str(version), "XDG_STATE_HOME": str(state)}
    words = [sys.executable, "-m", "onward", "upload", "--quiet", *files]
    before, served = resource.getrusage(resource.RUSAGE_CHILDREN), server.cpu()
    began = time.perf_counter()
    ended = subprocess.run(
        [*words, "--to", f"http://127.0.0.1:{server.port}/files"],
        env=environ,
        cwd=state,
        stdout=subprocess.PIPE,
        check=True,
    )
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert len(set(ended.stdout.split())) == len(files)
    published = sum(path.is_file() for path in (server.data / "files").iterdir())
    assert published == len(files), published
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, server.cpu() - served


def turn(version: Path, files: list[str], folder: Path) -> tuple[float, float, float]:
    """Send the files by a version of the client to a fresh server."""
    os.sync()
    with (
        tempfile.TemporaryDirectory(dir=folder) as state,
        tempfile.TemporaryDirectory(dir=folder) as place,
        running(SERVER, Path(place)) as server,
    ):
        return send(version, files, server, Path(state))


def main() -> None:
    """Take turns, and print each turn, the medians, and the median ratio of the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, default=[Path("/dev/shm"), Path("/var/tmp")])
    parser.add_argument("--before", type=Path, help="a checkout of the version to compare with")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    words = parser.parse_args()
    versions = {**({"before": words.before.resolve()} if words.before else {}), "now": ROOT}
    for folder in words.folders:
        told: dict[str, list[tuple[float, float, float]]] = {name: [] for name in versions}
        with tempfile.TemporaryDirectory(dir=folder) as name:
            files = make(Path(name) / "files", words.count)
            for _ in range(words.rounds):
                for version, checkout in versions.items():
                    told[version].append(turn(checkout, files, Path(name)))
                    print(folder, version, *(f"{each:.2f} s" for each in told[version][-1]), file=sys.stderr)
        for version, rounds in told.items():
            seconds, own, served = (median(each) for each in zip(*rounds, strict=True))
            costs = f"{own / words.count * 1e3:.2f} ms of the client and {served / words.count * 1e3:.2f} of the server"
            print(f"{folder}, {version}: {words.count / seconds:,.0f} files a second, {costs} for each", flush=True)
        if words.before:
            ratios = sorted(old[0] / new[0] for old, new in zip(told["before"], told["now"], strict=True))
            print(f"{folder}: {median(ratios):.1f} times the rate ({ratios[0]:.1f} to {ratios[-1]:.1f})", flush=True)


if __name__ == "__main__":
    main()
