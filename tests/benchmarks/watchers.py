"""What many watchers of one upload cost, and what they get: python tests/benchmarks/watchers.py [--watchers 10000].

The server is one process; the watchers come from processes of their own, 5 % of them never read. First the upload is paced
to four messages a second, then rounds of an upload as fast as it goes, without and with watchers, take turns. In those the
watchers' processes stand still, as if they had a machine of their own: the system takes what is sent to them.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

SUPPORT = Path(__file__).resolve().parents[1] / "support"
sys.path[:0] = [str(SUPPORT)]

import http_connection as raw
from server_process import Server, serving

EACH = 5000  # watchers of one process at most
EVERY, PIECE = 0.25, 2**20  # seconds, bytes
BLOCK = 2**20
SETTLE = 1.0  # seconds


class Crowds:
    """Some thousand watchers of an upload, in processes of their own."""

    def __init__(self, port: int, path: str, healthy: int, stuck: int) -> None:
        count = -(-healthy // EACH)
        self._processes = []
        for number in range(count):
            shares = [str(total // count + (number < total % count)) for total in (healthy, stuck)]
            words = [
                sys.executable,
                str(SUPPORT / "watcher_crowd.py"),
                str(port),
                f"{path}/progress",
                *shares,
                f"127.0.0.{number + 2}",
            ]
            self._processes.append(subprocess.Popen(words, stdout=subprocess.PIPE, cwd=SUPPORT))
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"

    def stand_still(self) -> None:
        """Have all of them compute nothing from now on."""
        time.sleep(SETTLE)
        for process in self._processes:
            process.send_signal(signal.SIGSTOP)

    def reports(self) -> list[dict[str, Any]]:
        """Wait until all have been closed; gives what they have seen."""
        return [json.loads(process.communicate()[0]) for process in self._processes]

    def leave(self) -> None:
        """Have all of them go at once."""
        for process in self._processes:
            process.kill()
            process.communicate()


def memory(server: Server) -> int:
    """Give the resident size of a server in bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def sockets(server: Server) -> int:
    """Give how many descriptors a server has open."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def watchers(server: Server) -> int:
    """Give how many watchers a server counts."""
    found = re.search(rb"^onward_watchers (\d+)", server.tus.ask("GET", "/metrics").body, re.M)
    assert found
    return int(found[1])


def cpu(server: Server) -> float:
    """Give the seconds that a server has computed for."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def paced(server: Server, healthy: int, stuck: int, seconds: float) -> None:
    """Send four pieces a second to all watchers, and tell when they came and what they cost."""
    tus, pieces = server.tus, int(seconds / EVERY)
    path = tus.create(pieces * PIECE)
    open_before, before = sockets(server), memory(server)
    crowds = Crowds(tus.port, path, healthy, stuck)
    joined = memory(server)
    print(f"memory: {before / 2**20:.0f} MiB, with {healthy + stuck} watchers {joined / 2**20:.0f} MiB: "
          f"{(joined - before) / (healthy + stuck) / 1024:.1f} KiB each", flush=True)  # fmt: skip
    block, began, computed = os.urandom(PIECE), time.monotonic(), cpu(server)
    with raw.Connection(tus.port) as connection:
        connection.send(tus.request("PATCH", path, tus.patching(0, {"Content-Length": str(pieces * PIECE)})))
        for number in range(pieces):
            connection.send(block)
            time.sleep(max(0.0, began + (number + 1) * EVERY - time.monotonic()))
            if number == pieces // 2:
                print(f"memory in between: {memory(server) / 2**20:.0f} MiB")
        assert connection.answer().status == 204
    took = time.monotonic() - began
    print(f"{pieces} pieces in {took:.1f} s, {100 * (cpu(server) - computed) / took:.0f} % of a core for the server")
    reports = crowds.reports()
    ends, dropped, most = Counter[str](), list[float](), [0.0] * 4
    for report in reports:
        ends.update(report["ends"])
        dropped += report["dropped"]
        most = [max(pair) for pair in zip(most, report["delays"], strict=True)]
    print(f"healthy: {dict(ends)}, {sum(report['messages'] for report in reports)} messages, "
          f"{sum(report['backwards'] for report in reports)} backwards")  # fmt: skip
    print("from the record to the receipt: " + ", ".join(
        f"{name} {1e3 * value:.0f} ms" for name, value in zip(("median", "p99", "p99.9", "largest"), most, strict=True)))  # fmt: skip
    if dropped:
        print(f"stuck: {len(dropped)} of {stuck} dropped, {min(dropped):.1f} to {max(dropped):.1f} s after they came")
    raw.poll(lambda: watchers(server) == 0 and sockets(server) <= open_before, 30)
    print(f"after: {watchers(server)} watchers, {sockets(server) - open_before:+} descriptors, "
          f"memory {memory(server) / 2**20:.0f} MiB", flush=True)  # fmt: skip


def rate(server: Server, path: str, size: int) -> tuple[float, float]:
    """Send an upload as fast as it goes; gives its bytes a second, and the server's seconds of a core for each GiB."""
    tus, block = server.tus, os.urandom(BLOCK)
    began, computed = time.perf_counter(), cpu(server)
    with raw.Connection(tus.port) as connection:
        connection.send(tus.request("PATCH", path, tus.patching(0, {"Content-Length": str(size)})))
        for _ in range(size // BLOCK):
            connection.send(block)
        assert connection.answer().status == 204
    return size / (time.perf_counter() - began), (cpu(server) - computed) * 2**30 / size


def rounds(server: Server, healthy: int, stuck: int, count: int, size: int) -> None:
    """Send as fast as it goes, without and with watchers in turns."""
    tus, alone, among = server.tus, list[tuple[float, float]](), list[tuple[float, float]]()
    rate(server, tus.create(size), size)
    for number in range(count):
        for watched in (number % 2 == 0, number % 2 == 1):
            path = tus.create(size)
            if watched:
                crowds = Crowds(tus.port, path, healthy, stuck)
                crowds.stand_still()
                among.append(rate(server, path, size))
                crowds.leave()
            else:
                alone.append(rate(server, path, size))
            raw.poll(lambda: watchers(server) == 0, 30)
            tus.ask("DELETE", path)
        print(f"round {number}: {alone[-1][0] / 1e6:.0f} MB/s and {alone[-1][1]:.2f} s of a core by GiB alone, "
              f"{among[-1][0] / 1e6:.0f} and {among[-1][1]:.2f} watched: "
              f"{among[-1][0] / alone[-1][0]:.0%}", flush=True)  # fmt: skip
    ratio = median(one[0] / other[0] for one, other in zip(among, alone, strict=True))
    for name, each in (("alone", alone), ("watched", among)):
        print(f"{name}: medians {median(rate for rate, _ in each) / 1e6:.0f} MB/s, "
              f"{median(cost for _, cost in each):.2f} s of a core by GiB")  # fmt: skip
    print(f"median of the ratios: {ratio:.0%}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--watchers", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=int, default=2**31)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("options", nargs="*", help="of the server")
    words = parser.parse_args()
    stuck = words.watchers // 20
    raw.PATIENCE = 120.0
    with tempfile.TemporaryDirectory(dir=words.folder) as place, serving(Path(place) / "data", words.options) as server:
        if words.seconds:
            paced(server, words.watchers - stuck, stuck, words.seconds)
        if words.rounds:
            rounds(server, words.watchers - stuck, stuck, words.rounds, words.size)


if __name__ == "__main__":
    main()
