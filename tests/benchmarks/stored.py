"""Whether a contestant has done what it was asked: after the work, its folder must have the files with their bytes."""

import hashlib
import os
from pathlib import Path

from contestants import Running
from load import pieces
from scenarios import Scenario

MOST = 8  # files that are read to their end
START = 2**10  # bytes that are read of each


def check_stored(scenario: Scenario, server: Running, scale: float) -> None:
    """Look for the files, and read some of them; raises AssertionError."""
    if scenario.leaves is None:
        return
    count, bodies = scenario.leaves(scale)
    size = sum(bodies)
    found = [path for path in server.data.rglob("*") if _is_one(path, size)]
    assert len(found) >= count, f"{len(found)} of {count} files of {size} bytes"
    expected = hashlib.sha256()
    for body in bodies:
        for piece in pieces(body):
            expected.update(piece)
    for path in found[:MOST]:
        assert _sha256(path) == expected.digest(), f"{path} has other bytes"


def _is_one(path: Path, size: int) -> bool:
    """Give whether this is a file that the client has sent.

    A database may have its size by chance, but does not begin like it. A second name of a short file goes a moment
    after the answer, so it does not count.
    """
    if not path.is_file() or path.parent.name == "partial":
        return False
    with path.open("rb") as file:
        start = file.read(START)
        return os.fstat(file.fileno()).st_size == size and start == bytes(next(pieces(len(start))))


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
