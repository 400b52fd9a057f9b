"""How long the event loop of a server is held up by large bodies and joins: python tests/benchmarks/lag.py FOLDER.

A task inside the server sleeps 1 ms again and again and notes by how much it comes late. FOLDER needs room for 1 GiB.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import http_connection as raw
from server_process import serving

from onward.server import cli
from onward.server.config import Config
from onward.server.serve import Announce, serve

SIZE, BLOCK, PARTS, TICK = 2**28, 2**20, 2, 0.001
SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


async def probed(config: Config, *, announce: Announce) -> None:
    """Serve, and print the lags since the last time at each SIGUSR1."""
    lags: list[float] = []

    def report() -> None:
        if not lags:  # asked before the first look
            loop.call_later(TICK, report)
            return
        ordered = sorted(lags)
        told = (f"{name} {ordered[int(share * (len(ordered) - 1))] * 1e3:.2f}" for name, share in SHARES.items())
        Path(f"{config.data}.lag").write_text(f"{'  '.join(told)} ms, of {len(ordered)} looks")
        lags.clear()

    async def probe() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK)
            lags.append(time.perf_counter() - began - TICK)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, report)
    probing = loop.create_task(probe())
    await serve(config, announce=announce)
    probing.cancel()


def main(folder: Path) -> None:
    """Send and join, and print the lags of each."""
    raw.PATIENCE = 120.0
    data = os.urandom(BLOCK)
    with tempfile.TemporaryDirectory(dir=folder) as place, serving(Path(place) / "data", program=(__file__,)) as server:
        tus, lag, paths = server.tus, Path(place) / "data.lag", list[str]()

        def told(what: str, began: float) -> None:
            seconds = time.perf_counter() - began
            server.process.send_signal(signal.SIGUSR1)
            raw.poll(lag.exists)
            raw.poll(lambda: bool(lag.read_text()))
            print(f"{what:24} {seconds:5.2f} s   lag {lag.read_text()}", flush=True)
            lag.unlink()

        began = time.perf_counter()
        time.sleep(2)
        told("idle", began)
        for number in range(PARTS):
            paths.append(tus.create(SIZE, {"Upload-Concat": "partial"}))
            began = time.perf_counter()
            with raw.Connection(tus.port) as connection:
                connection.send(tus.request("PATCH", paths[-1], tus.patching(0, {"Content-Length": str(SIZE)})))
                for _ in range(SIZE // BLOCK):
                    connection.send(data)
                assert connection.answer().status == 204
            told(f"PATCH {number + 1} of {SIZE >> 20} MiB", began)
        began = time.perf_counter()
        assert tus.post({"Upload-Concat": f"final;{' '.join(paths)}"}).status == 201
        told(f"join of {PARTS} x {SIZE >> 20} MiB", began)


if sys.argv[1] == "serve":
    setattr(cli, "serve", probed)  # noqa: B010
    cli.main()
else:
    main(Path(sys.argv[1]))
