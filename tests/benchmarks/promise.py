"""One PATCH of 512 MiB that survives a power cut, verified: python tests/benchmarks/promise.py [FOLDER], on a disk.

Onward with `--durability=full` answers when the file is synced and its SHA-256 is known. tusd promises neither: its
user runs `sha256sum` on the file and `sync` on it and its folder afterwards, and that time counts. They take turns.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(Path(__file__).parent)]

from contestants import Contestant, onward, running
from installed import tusd
from load import Client, metadata, pieces

SIZE, ROUNDS = 2**29, 5
MIB = 2**20


def _seconds(contestant: Contestant, folder: Path, sha256: str) -> tuple[float, float]:
    """Give the seconds until the answer, and until the user knows that the file is right and stays."""
    os.sync()  # what others have left to write is not on its account
    with running(contestant, folder) as server:
        client = Client(server.port, contestant.path)
        began = time.perf_counter()
        url = client.create(SIZE, metadata(SIZE))
        client.patch(url, 0, SIZE)
        answered = time.perf_counter() - began
        file = next(path for path in server.data.rglob("*") if path.is_file() and path.stat().st_size == SIZE)
        assert _sha256sum(file) == sha256
        subprocess.run(["sync", file, file.parent], check=True)
        checked = time.perf_counter() - began
        client.close()
    return answered, checked


def _sha256sum(file: Path) -> str:
    return subprocess.run(["sha256sum", file], check=True, capture_output=True, text=True).stdout.split()[0]


def lines(folder: Path) -> Iterator[str]:
    """Measure, and tell the medians."""
    peer = tusd()
    if peer is None:
        yield "a verified PATCH of 512 MiB that survives a power cut: not measured, since there is no tusd"
        return
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for piece in pieces(SIZE):
            file.write(piece)
        file.flush()
        sha256 = _sha256sum(Path(file.name))
    metadata(SIZE)  # hashed before the clock runs
    ours, alone, promised, ratios = list[float](), list[float](), list[float](), list[float]()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for _ in range(ROUNDS):
            one, _ = _seconds(onward("--durability=full"), Path(place), sha256)
            answered, checked = _seconds(peer, Path(place), sha256)
            ours.append(one)
            alone.append(answered)
            promised.append(checked)
            ratios.append(checked / one)
    rates = [SIZE / MIB / median(seconds) for seconds in (ours, promised, alone)]
    yield (
        f"a PATCH of 512 MiB on {folder}, durable and verified: {rates[0]:.0f} MiB/s by onward --durability=full, "
        f"{rates[1]:.0f} by tusd followed by sha256sum and sync (tusd alone {rates[2]:.0f}): {median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}; wanted 3)"
    )


if __name__ == "__main__":
    for line in lines(Path(sys.argv[1] if len(sys.argv) > 1 else "/var/tmp")):
        print(line, flush=True)
