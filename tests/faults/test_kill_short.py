"""kill -9 and SIGSTOP of servers that share a folder and a Redis, in the middle of short files sent in one request.

A file whose bytes were told has exactly these, whatever the other server and a client with other bytes do afterwards.
More by hand: `python -m pytest tests/faults/test_kill_short.py --cycles=10000 --seed=7 -s`.
"""

import random
import time
from pathlib import Path

import pytest
from forking_server import zygote
from late_sweep import tidied
from short_rounds import PLAN, ShortRounds, SleepyRounds

OF = 150  # cycles of the other kinds for each round of these
ENOUGH = 8 * len(PLAN)  # rounds that come to every point


@pytest.mark.parametrize("kind", [ShortRounds, SleepyRounds], ids=["killed", "suspended"])
async def test_a_short_file_that_was_told_stays_as_it_is(
    tmp_path: Path, redis_url: str, pytestconfig: pytest.Config, seed: int, kind: type[ShortRounds]
) -> None:
    began, count = time.monotonic(), max(pytestconfig.getoption("--cycles") // OF, 3)
    async with zygote(tmp_path / "log1") as one, zygote(tmp_path / "log2") as two:
        rounds = kind((one, two), tmp_path / "data", random.Random(seed), redis_url)
        try:
            await rounds.run(count)
        finally:
            print(f"short files, seed {seed}: {rounds.figures()}, {time.monotonic() - began:.1f} s")
        assert "Traceback" not in one.log() + two.log()
    assert rounds.counts["files"]
    await tidied(tmp_path / "data", redis_url)
    assert not rounds.left()
    if count >= ENOUGH:
        assert not rounds.missed(), f"never struck at these; seed {seed}"
