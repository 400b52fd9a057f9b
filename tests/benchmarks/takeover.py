"""How long a half-open PATCH keeps an upload from the next request: python tests/benchmarks/takeover.py.

Two servers over one Redis; each way is tried 50 times, and the median and the slowest are printed. Also how soon an
upload goes on through the other server once its own is killed, five times.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "support")]

import aiohttp
from half_open_request import displace, half_open
from onward_process import OnwardProcess, onward
from redis_process import redis_server

TIMES, KILLS = 50, 5


async def displaced(http: aiohttp.ClientSession, method: str, holder: OnwardProcess, taker: OnwardProcess) -> float:
    """Give the seconds until a request that takes an upload over is answered."""
    async with half_open(http, holder) as id_:
        began = time.perf_counter()
        await displace(http, method, f"{taker.url}/{id_}")
        return time.perf_counter() - began


async def killed(http: aiohttp.ClientSession, holder: OnwardProcess, taker: OnwardProcess) -> float:
    """Give the seconds from the death of a server until another has taken the rest."""
    async with half_open(http, holder) as id_:
        await holder.kill9()
        began = time.perf_counter()
        await displace(http, "PATCH", f"{taker.url}/{id_}")
        seconds = time.perf_counter() - began
    await holder.start()
    return seconds


def tell(what: str, seconds: list[float]) -> None:
    """Print what was measured."""
    middle, slowest = median(seconds) * 1e3, max(seconds) * 1e3
    print(f"{what}: median {middle:.0f} ms, slowest {slowest:.0f} ms of {len(seconds)}", flush=True)


async def main(folder: Path) -> None:
    """Measure each way."""
    with redis_server(folder) as redis:
        async with (
            onward(folder / "data", redis.url) as a,
            onward(folder / "data", redis.url) as b,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
        ):
            for method in ("HEAD", "PATCH"):
                for where, taker in (("the same server", a), ("another server", b)):
                    times = [await displaced(http, method, a, taker) for _ in range(TIMES)]
                    tell(f"{method} on {where}", times)
            tell("PATCH on another server after kill -9", [await killed(http, a, b) for _ in range(KILLS)])


with tempfile.TemporaryDirectory() as place:
    asyncio.run(main(Path(place)))
