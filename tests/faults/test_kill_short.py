"""kill -9 of servers that share a folder and a Redis, in the middle of short files that one request brings whole.

A file whose bytes were told has exactly these, whatever the other server and a client with other bytes do afterwards.
More by hand: `python -m pytest tests/faults/test_kill_short.py --cycles=10000 --seed=7 -s`.
"""

import random
import time
from pathlib import Path
from unittest.mock import patch

import pytest
from forking_server import zygote
from short_rounds import PLAN, ShortRounds

from onward.protocol.model import Limits
from onward.server.uploads import sweep
from onward.server.uploads.engine import Engine
from onward.storage import open_storage

OF = 100  # cycles of the other kinds for each of these
ENOUGH = 8 * len(PLAN)  # kills that come to every point


async def tidied(data: Path, state: str) -> None:
    """Remove what is left without a record, and all marks, as a server does an hour later."""
    storage = await open_storage(state=state, blobs="file:", data=data)
    engine = Engine(storage, Limits(), lease_wait=1.0)
    try:
        with patch.object(sweep, "STRAY", -60.0):
            await engine.sweep.tidy()
    finally:
        await engine.close()


async def test_a_short_file_that_was_told_stays_as_it_is_after_any_kill_9(
    tmp_path: Path, redis_url: str, pytestconfig: pytest.Config, seed: int
) -> None:
    began, kills = time.monotonic(), max(pytestconfig.getoption("--cycles") // OF, 3)
    async with zygote(tmp_path / "log1") as one, zygote(tmp_path / "log2") as two:
        rounds = ShortRounds((one, two), tmp_path / "data", random.Random(seed), redis_url)
        try:
            await rounds.run(kills)
        finally:
            print(f"short files, seed {seed}: {rounds.figures()}, {time.monotonic() - began:.1f} s")
        assert "Traceback" not in one.log() + two.log()
    assert rounds.counts["files"]
    await tidied(tmp_path / "data", redis_url)
    assert not rounds.left()
    if kills >= ENOUGH:
        assert not rounds.missed(), f"never killed at these; seed {seed}"
