"""What bytes in a bucket cost: python tests/benchmarks/object_storage.py WHAT [seaweedfs | versitygw] [ROUNDS].

WHAT is one of
    rate       one PATCH of 1 GiB, beside a plain multipart upload of the same bytes by the same library, in turn
    memory     20 uploads of 256 MiB at once: the peak memory of the server

The S3 server runs on the same machine, and has a folder below the folder for temporary files (TMPDIR).
Processor time is that of the process that sends to S3, user and system; the S3 server and the client are not in it.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support")]

import http_connection as raw
from onward_process import peak_memory
from s3_process import KEYS, S3Process, url_of
from seaweedfs_process import run_seaweedfs
from server_process import Server, serving
from versitygw_process import run_versitygw

from onward.storage.blobs.s3.client import open_client
from onward.storage.blobs.s3.settings import MIB, PART, read_url

SIZE, AT_ONCE, SIZE_OF_EACH = 2**30, 20, 2**28
BLOCK = os.urandom(MIB)
RUN = {"seaweedfs": run_seaweedfs, "versitygw": run_versitygw}


def processor_time(pid: int) -> float:
    """Give the seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def patch(server: Server, size: int) -> None:
    """Upload in one PATCH."""
    path = server.tus.create(size)
    with raw.Connection(server.tus.port) as connection:
        connection.send(server.tus.request("PATCH", path, server.tus.patching(0, {"Content-Length": str(size)})))
        for _ in range(size // MIB):
            connection.send(BLOCK)
        assert connection.answer().status == 204


async def plain(url: str) -> None:
    """Upload parts by the library that the server uses, and print the seconds and the processor time."""
    client = await open_client(read_url(url))
    part, etags = BLOCK * (PART // MIB), []
    begun = await client.call("create_multipart_upload", "files/plain")
    id_, began, used = begun["UploadId"], time.perf_counter(), time.process_time()
    for number in range(1, SIZE // PART + 1):
        etag = await client.store_part("files/plain", id_, number, part)
        etags.append({"PartNumber": number, "ETag": etag})
    await client.call("complete_multipart_upload", "files/plain", UploadId=id_, MultipartUpload={"Parts": etags})
    print(time.perf_counter() - began, time.process_time() - used)
    await client.close()


def rate(store: S3Process, folder: Path, rounds: int) -> None:
    """Print the rates of both ways, and the processor time."""
    bucket, ratios, costs = store.new_bucket(), [], []
    with serving(folder / "onward", store.options(bucket)) as server:
        patch(server, PART)
        for _ in range(rounds):
            words = [sys.executable, __file__, "plain", url_of(store, bucket)]
            seconds, cost = map(float, subprocess.run(words, check=True, capture_output=True).stdout.split())
            began, used = time.perf_counter(), processor_time(server.process.pid)
            patch(server, SIZE)
            taken, mine = time.perf_counter() - began, processor_time(server.process.pid) - used
            ratios.append(seconds / taken)
            costs.append(mine)
            print(
                f"PATCH {SIZE / MIB / taken:.0f} MiB/s, {mine:.2f} s of processor time; "
                f"plain parts {SIZE / MIB / seconds:.0f} MiB/s, {cost:.2f} s; ratio {seconds / taken:.2f}",
                flush=True,
            )
    print(f"median: ratio {median(ratios):.2f}, {median(costs):.2f} s of processor time for 1 GiB")


def memory(store: S3Process, folder: Path, rounds: int) -> None:
    """Print the peak memory of a server with many large bodies."""
    for _ in range(rounds):
        with serving(folder / "onward", store.options(store.new_bucket())) as server:
            patch(server, PART)
            before, began = peak_memory(server.process.pid), time.perf_counter()
            senders = [threading.Thread(target=patch, args=(server, SIZE_OF_EACH)) for _ in range(AT_ONCE)]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join()
            peak, taken = peak_memory(server.process.pid), time.perf_counter() - began
            print(
                f"{AT_ONCE} x {SIZE_OF_EACH // MIB} MiB at once in {taken:.0f} s: "
                f"peak {peak / MIB:.0f} MiB, before that {before / MIB:.0f} MiB",
                flush=True,
            )


def main(what: str, name: str = "versitygw", rounds: str = "5") -> None:
    """Measure one thing."""
    os.environ.update(KEYS)
    if what == "plain":
        asyncio.run(plain(name))
        return
    raw.PATIENCE = 600.0
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "s3").mkdir()
        with RUN[name](Path(place) / "s3") as store:
            {"rate": rate, "memory": memory}[what](store, Path(place), int(rounds))


if __name__ == "__main__":
    main(*sys.argv[1:])
