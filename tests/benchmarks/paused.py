"""What 2,000 paused uploads cost a server: python tests/benchmarks/paused.py [FOLDER]. On SQLite, on Redis, in a bucket.

Each has got 4 KiB of 1 MiB, and its client has left.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(Path(__file__).parent)]

from contestants import Running, onward, running
from load import Client
from redis_process import redis_server
from s3_process import KEYS
from versitygw_process import run_versitygw

UPLOADS, SIZE, SENT = 2000, 2**20, 2**12  # uploads, bytes, bytes
TOLD, IDLE = 20.0, 5.0  # seconds: until all are told as paused, and that nothing happens in afterwards


def pause(server: Running, count: int) -> None:
    """Begin uploads and leave them."""
    client = Client(server.port, server.contestant.path)
    for _ in range(count):
        client.patch(client.create(SIZE), 0, SENT)
    client.close()


def lines(folder: Path) -> Iterator[str]:
    """Measure, and tell it for each store."""
    os.environ.update(KEYS)
    with (
        tempfile.TemporaryDirectory(dir=folder) as place,
        tempfile.TemporaryDirectory(dir=folder) as objects,
        redis_server(Path(place)) as redis,
        run_versitygw(Path(objects)) as s3,
    ):
        stores = {"sqlite": ["--state=sqlite:"], "redis": [f"--state={redis.url}"]}
        stores["sqlite, bucket"] = [*stores["sqlite"], *s3.options(s3.new_bucket())]
        for name, options in stores.items():
            with running(onward(*options), Path(place)) as server:
                pause(server, UPLOADS)  # what a server keeps of its first requests is not theirs
                memory, descriptors = server.resident(), server.descriptors()
                pause(server, UPLOADS)
                time.sleep(TOLD)
                grown, opened = (server.resident() - memory) / 2**20, server.descriptors() - descriptors
                used = server.cpu()
                time.sleep(IDLE)
                share = (server.cpu() - used) / IDLE
            yield (
                f"{name}: {UPLOADS:,} more paused uploads: {grown:+.1f} MiB of memory, "
                f"{opened:+} descriptors, {share:.1%} of a core"
            )


if __name__ == "__main__":
    for line in lines(Path(sys.argv[1] if len(sys.argv) > 1 else "/dev/shm")):
        print(line, flush=True)
