"""kill -9 of servers that publish to a bucket: each file is there once, whole, and no told byte is lost.

More by hand: `python -m pytest tests/faults/test_publish_kill.py --publish-cycles=300 --seed=7 -s`.
"""

import os
import random
import time
from pathlib import Path

import pytest
from forking_server import zygote
from published_rounds import PublishedRounds
from s3_process import KEYS, S3Process

ENOUGH = 200  # kills that come to every point
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["versitygw", "seaweedfs"])
async def test_a_file_is_published_once_whatever_is_killed(
    tmp_path: Path, pytestconfig: pytest.Config, seed: int, request: pytest.FixtureRequest, name: str
) -> None:
    server: S3Process = request.getfixturevalue(name)
    os.environ.update(KEYS)
    began = time.monotonic()
    cycles = pytestconfig.getoption("--publish-cycles") // 2
    async with zygote(tmp_path / "log") as warm:
        rounds = PublishedRounds(warm, tmp_path, random.Random(seed), server)
        try:
            await rounds.run(cycles)
        except AssertionError:
            print(warm.log())
            raise
        finally:
            print(f"{name}, seed {seed}: {rounds.figures()}, {time.monotonic() - began:.1f} s")
        assert "Traceback" not in warm.log(), warm.log()
    if cycles >= ENOUGH:
        assert not rounds.missed(), f"never killed at these; seed {seed}"
