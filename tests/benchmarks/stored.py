"""Whether a contestant has done what it was asked: after the work, its folder must have the files with their bytes."""

import hashlib
from pathlib import Path

from contestants import Running
from load import pieces
from scenarios import Scenario

MOST = 8  # files that are read


def check_stored(scenario: Scenario, server: Running, scale: float) -> None:
    """Look for the files, and read some of them; raises AssertionError."""
    if scenario.leaves is None:
        return
    count, size = scenario.leaves(scale)
    found = [path for path in server.data.rglob("*") if path.is_file() and path.stat().st_size == size]
    assert len(found) >= count, f"{len(found)} of {count} files of {size} bytes"
    expected = hashlib.sha256()
    for piece in pieces(size):
        expected.update(piece)
    for path in found[:MOST]:
        assert _sha256(path) == expected.digest(), f"{path} has other bytes"


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
