"""What a HEAD costs beside 1,000 to 1,000,000 finished records: python tests/benchmarks/many_records.py [FOLDER].

The records are put into the store by its own code, without a server; then one is started on it.
"""

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(Path(__file__).parent)]

from contestants import onward, running
from load import Client
from redis_process import redis_server

from onward.protocol.model import Place, Status, Upload, UploadId
from onward.storage import open_storage
from onward.storage.base import Durability

COUNTS = (10**3, 10**4, 10**5, 10**6)
HEADS, AT_ONCE = 3000, 2000


def record(number: int) -> Upload:
    """Make the record of a finished upload."""
    id_ = UploadId(f"{number:032x}")
    return Upload(
        id=id_, place=Place(f"files/{id_}"), status=Status.COMPLETED, length=10**6, offset=10**6, metadata="filename YQ==",
        promised=None, created=1.0, updated=2.0, expires=None, due=None, sha256=bytes(32),
    )  # fmt: skip


async def fill(state: str, data: Path, start: int, stop: int) -> None:
    """Insert the records of some numbers."""
    storage = await open_storage(state=state, blobs="file:", data=data, durability=Durability.NONE)
    kept = getattr(storage.state, "_state", storage.state)  # finished uploads have no copy to be kept for long
    for at in range(start, stop, AT_ONCE):
        await asyncio.gather(
            *(kept.insert(record(number), durable=False) for number in range(at, min(at + AT_ONCE, stop)))
        )
    await storage.close()


def waits_of_heads(port: int, count: int) -> list[float]:
    """Give the times of HEADs of any of the records in seconds, the shortest first."""
    client, waits = Client(port, "/files"), list[float]()
    for _ in range(HEADS):
        began = time.perf_counter()
        client.head(f"/files/{random.randrange(count):032x}")
        waits.append(time.perf_counter() - began)
    return sorted(waits)


def lines(folder: Path) -> Iterator[str]:
    """Measure, and tell the curve of each store."""
    with tempfile.TemporaryDirectory(dir=folder) as place, redis_server(Path(place)) as redis:
        for state in ("sqlite:", redis.url):
            contestant, last = onward(f"--state={state}"), 0
            data = Path(place) / "data"
            for count in COUNTS:
                asyncio.run(fill(state, data, last, count))
                last = count
                with running(contestant, Path(place), fresh=False, stays=count != COUNTS[-1]) as server:
                    waits, memory = waits_of_heads(server.port, count), server.peak() / 2**20
                median, p99 = waits[HEADS // 2] * 1e3, waits[HEADS * 99 // 100] * 1e3
                yield (
                    f"{state.partition(':')[0]}: {count:,} records: a HEAD takes {median:.2f} ms (p99 {p99:.2f} ms), "
                    f"the server {memory:.0f} MiB"
                )


if __name__ == "__main__":
    for line in lines(Path(sys.argv[1] if len(sys.argv) > 1 else "/dev/shm")):
        print(line, flush=True)
