"""Whether a contestant has done what it was asked: after the work, its folder must have the files with their bytes."""

import hashlib
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
    there = (path for path in server.data.rglob("*") if path.is_file() and path.stat().st_size == size)
    found = [path for path in there if _begins(path)]
    assert len(found) >= count, f"{len(found)} of {count} files of {size} bytes"
    expected = hashlib.sha256()
    for body in bodies:
        for piece in pieces(body):
            expected.update(piece)
    for path in found[:MOST]:
        assert _sha256(path) == expected.digest(), f"{path} has other bytes"


def _begins(path: Path) -> bool:
    """Give whether a file begins as those of the client do: a database may have their size by chance."""
    with path.open("rb") as file:
        start = file.read(START)
    return start == bytes(next(pieces(len(start))))


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
