"""How long a final upload takes to be joined, and how much memory: python tests/benchmarks/join.py FOLDER.

FOLDER lies on the file system to be measured and needs room for 2 GiB; four partial uploads of 256 MiB are joined there.
"""

import hashlib
import os
import sys
import tempfile
import time
from base64 import b64decode
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "support")]

import http_connection as raw
from onward_process import peak_memory
from server_process import serving

PARTS, SIZE, ROUNDS, BLOCK = 4, 2**28, 5, 2**20


def main(folder: Path) -> None:
    """Join the same parts several times, each time checked, and print what it took."""
    raw.PATIENCE = 60.0
    data = os.urandom(BLOCK)
    whole = hashlib.sha256()
    for _ in range(PARTS * SIZE // BLOCK):
        whole.update(data)
    with tempfile.TemporaryDirectory(dir=folder) as place, serving(Path(place) / "data") as server:
        tus = server.tus
        paths = [tus.create(SIZE, {"Upload-Concat": "partial"}) for _ in range(PARTS)]
        for path in paths:
            with raw.Connection(tus.port) as connection:
                connection.send(tus.request("PATCH", path, tus.patching(0, {"Content-Length": str(SIZE)})))
                for _ in range(SIZE // BLOCK):
                    connection.send(data)
                assert connection.answer().status == 204
        before = peak_memory(server.process.pid)
        for _ in range(ROUNDS):
            began = time.perf_counter()
            answer = tus.post({"Upload-Concat": f"final;{' '.join(paths)}"})
            seconds = time.perf_counter() - began
            assert answer.status == 201, answer
            assert b64decode(answer["Repr-Digest"][9:-1]) == whole.digest()
            assert tus.ask("DELETE", raw.path_of(answer["Location"])).status == 204
            grown = (peak_memory(server.process.pid) - before) / 2**20
            print(f"{PARTS} x {SIZE >> 20} MiB joined in {seconds:.2f} s, peak memory {grown:+.1f} MiB", flush=True)


main(Path(sys.argv[1]))
