"""kill -9 between and during chunks whose hashes lag: no acknowledged byte is lost, and the SHA-256 at the end is right.

More by hand: `python -m pytest tests/faults/test_kill_chunks.py --cycles=10000 --seed=7 -s`.
"""

import base64
import hashlib
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import http_connection as raw
import pytest
from http_connection import Connection
from server_process import Server, serving

from onward.server.uploads import sha256
from onward.storage.codec import decode

pytestmark = pytest.mark.slow
MOST, SIZE = 2**20, 24 * 2**20
OF = 200  # cycles of the other kinds for each of these


def behind(data: Path) -> int:
    """Return by how much the saved hash of the only unfinished upload is behind its offset."""
    with closing(sqlite3.connect(data / "state.sqlite")) as db:
        (document,) = db.execute("SELECT document FROM uploads WHERE open").fetchone()
    upload = decode(document)
    reached = sha256.reached(upload.hashing)
    assert reached is not None or not upload.offset, "the hash is not saved"
    return upload.offset - (reached or 0)


def send(server: Server, path: str, source: bytes, offset: int, chunks: list[int], cut: int) -> int:
    """Send chunks, of the last one only some bytes; return the offset that was acknowledged."""
    with Connection(server.tus.port) as connection:
        for number, chunk in enumerate(chunks):
            size = min(chunk, len(source) - offset)
            head = server.tus.request("PATCH", path, server.tus.patching(offset, {"Content-Length": str(size)}))
            last = number == len(chunks) - 1
            connection.send(head + source[offset : offset + (min(cut, size - 1) if last else size)])
            if last:
                break
            assert connection.answer().status == 204
            offset += size
            if offset == len(source):
                break
    return offset


def test_what_is_not_hashed_yet_is_read_again_after_kill_9(
    tmp_path: Path, pytestconfig: pytest.Config, seed: int
) -> None:
    dice, data, path, offset, lags = random.Random(seed), tmp_path / "data", "", 0, list[int]()
    source = dice.randbytes(SIZE)
    promise = base64.b64encode(hashlib.sha256(source).hexdigest().encode()).decode()
    for _ in range(max(3, pytestconfig.getoption("--cycles") // OF)):
        with serving(data, ["--durability=process", "--reserve=0"]) as server:
            if not path:
                path, offset = server.tus.create(SIZE, {"Upload-Metadata": f"sha256 {promise}"}), 0
            assert server.tus.offset(path) >= offset
            offset = server.tus.offset(path)
            chunks = [dice.choice([2**17, 300_000, MOST - 1, MOST]) for _ in range(dice.randint(1, 12))]
            offset = send(server, path, source, offset, chunks, dice.choice([0, 1000, 2**16, 2**19]))
            if offset == SIZE:
                path = ""
        if path:
            lags.append(behind(data))
    print(f"seed {seed}: {len(lags)} kills, behind by {sorted(lags)}")
    if path:
        with serving(data) as server:
            offset = server.tus.offset(path)
            assert server.tus.patch(path, offset, source[offset:]).status == 204
            raw.poll(lambda: (data / "files" / path.rpartition("/")[2]).read_bytes() == source)
