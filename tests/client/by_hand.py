"""`onward upload` of a large file over a rough line, and killed again and again: python tests/client/by_hand.py [MIB]."""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "support")]

from client_process import Ended, end_of, run, started
from end_to_end_scenario import sha256_of
from onward_process import onward, peak_memory
from unreliable_proxy import Fault, RoughLine

MIB = 2**20
DELAY = 0.0002
KILLS = 3


def make(path: Path, size: int) -> None:
    """Write a file of random bytes."""
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))


def faults(size: int) -> list[tuple[int, Fault]]:
    """Return six cuts and three stalls, all over the file."""
    kinds = [Fault.CUT, Fault.CUT, Fault.STALL] * 3
    return [(size // 12 + index * 1000, kind) for index, kind in enumerate(kinds)]


async def rough(files_port: int, file: Path, state: Path, *options: str) -> tuple[Ended, str]:
    """Upload over a rough line; gives the end, and what the line took beside the file."""
    size = file.stat().st_size
    async with RoughLine(files_port, faults(size), delay=DELAY).running() as line:
        words = ("upload", str(file), "--to", line.url, "--json", "--stall-after=5", *options)
        ended = await run(state, *words, within=3600)
        return ended, f"{len(line.done)} faults, {100 * (line.taken / size - 1):.3f} % more than the file"


async def killed(files_port: int, file: Path, state: Path) -> tuple[Ended, str]:
    """Upload, killing the client three times; gives the end, and what the line took beside the file."""
    size = file.stat().st_size
    async with RoughLine(files_port, delay=DELAY).running() as line:
        words = ("upload", str(file), "--to", line.url, "--json")
        for turn in range(1, KILLS + 1):
            async with started(state, *words) as process:
                while line.taken < turn * size // (KILLS + 1):
                    await asyncio.sleep(0.05)
                process.kill()
                await process.wait()
        async with started(state, *words) as process:
            peak = 0
            while line.taken < size * 0.95:
                await asyncio.sleep(0.05)
                peak = max(peak, peak_memory(process.pid))
            ended = await end_of(process, within=3600)
        extra = 100 * (line.taken / size - 1)
        return ended, f"{KILLS} kills, {extra:.3f} % more than the file, {peak / MIB:.0f} MiB of memory at most"


async def main(size: int) -> None:
    """Print a line for each way."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make(file := home / "file.bin", size)
        sha256 = sha256_of(file)
        async with onward(home / "data", "sqlite:") as server:
            for name, work in (
                ("good line", run(home, "upload", str(file), "--to", server.url, "--json", within=3600)),
                ("rough line", rough(server.port, file, home)),
                ("rough line, --parallel 4", rough(server.port, file, home, "--parallel=4")),
                ("killed", killed(server.port, file, home)),
            ):
                began = time.monotonic()
                done = await work
                ended, seen = done if isinstance(done, tuple) else (done, "")
                assert (ended.code, ended.told["verified"], ended.told["sha256"]) == (0, True, sha256), ended
                published = home / "data" / "files" / ended.told["url"].rpartition("/")[2]
                assert sha256_of(published) == sha256
                published.unlink()
                print(f"{name}: verified, {time.monotonic() - began:.1f} s, {seen}", flush=True)


asyncio.run(main(int(sys.argv[1] if sys.argv[1:] else "2048") * MIB))
