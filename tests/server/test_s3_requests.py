"""How many requests to S3 an upload takes through a running server, and that paused uploads take nothing of it."""

import os
import re
import time
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from onward_process import OnwardProcess, onward
from s3_faults import S3Faults
from s3_process import KEYS, S3Process
from s3_rounds import MIB

pytest.importorskip("aiobotocore", reason="SKIPPED LOUDLY: pip install 'onward[s3]'")
pytestmark = pytest.mark.slow

SIZE, CHUNK, PART = 100 * MIB, MIB, 5 * MIB
PAUSED = 200
MOST_EACH = 16 * 2**10  # bytes of memory that a paused upload may take; what the system counts is rounded to pages
SETTLED = 5.0  # seconds until all are told as paused


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


async def test_a_large_file_in_small_chunks_takes_its_parts_a_tail_for_each_pause_and_six_requests(
    tmp_path: Path, versitygw: S3Process, http: aiohttp.ClientSession
) -> None:
    bucket, data = versitygw.new_bucket(), os.urandom(SIZE)
    async with S3Faults(versitygw).running() as proxy:
        options = [*versitygw.options(bucket, port=proxy.port), "--part-size=5MiB", "--sweep-every=1h"]
        async with onward(tmp_path / "data", "sqlite:", options) as server:
            before = sum(proxy.seen.values())
            url = await tus.create(http, server.url, SIZE)
            for at in range(0, SIZE, CHUNK):
                assert (await tus.patch(http, url, at, data[at : at + CHUNK])).status == 204
            await server.stop()  # removes what waits for that
        assert sum(proxy.seen.values()) - before <= SIZE // PART + SIZE // CHUNK + 6, proxy.seen
        assert proxy.seen["part"] == SIZE // PART
    key = f"up/files/{url.rpartition('/')[2]}"
    assert versitygw.client().get_object(Bucket=bucket, Key=key)["Body"].read() == data
    assert set(versitygw.keys(bucket)) == {key, "up/store"}


def _now(server: OnwardProcess) -> tuple[int, int, int]:
    """Give the resident memory, the number of descriptors and that of threads of a server."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status), re.search(r"Threads:\s+(\d+)", status)
    assert found[0]
    assert found[1]
    descriptors = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
    return int(found[0][1]) * 1024, descriptors, int(found[1][1])


async def test_paused_uploads_take_no_memory_no_descriptors_and_no_threads(
    tmp_path: Path, versitygw: S3Process
) -> None:
    options = [*versitygw.options(versitygw.new_bucket()), "--upload-memory=16MiB", "--quiet-after=0.5s"]
    async with onward(tmp_path / "data", "sqlite:", options) as server, aiohttp.ClientSession() as http:

        async def pause(count: int) -> str:
            for _ in range(count):
                url = await tus.create(http, server.url, MIB)
                assert (await tus.patch(http, url, 0, bytes(60_000))).status == 204
            return url

        await pause(PAUSED)  # the memory for tails of ended bodies is bounded, and is full now
        memory, descriptors, threads = _now(server)
        url = await pause(PAUSED)
        until = time.monotonic() + SETTLED
        while (now := _now(server))[1] > descriptors + 2 and time.monotonic() < until:
            await tus.head(http, url)
        assert now[0] - memory < PAUSED * MOST_EACH, f"{(now[0] - memory) / PAUSED:.0f} bytes for each"
        assert (now[1] - descriptors, now[2] - threads) <= (2, 2)
        assert await tus.offset(http, url) == 60_000
