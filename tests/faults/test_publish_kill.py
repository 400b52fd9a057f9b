"""kill -9 of servers that publish to a bucket: each file is there once, whole, and no told byte is lost.

More by hand: `python -m pytest tests/faults/test_publish_kill.py --publish-cycles=300 --seed=7 -s`.
"""

import os
import random
from pathlib import Path

import pytest
from crash_rounds import run_rounds
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
    await run_rounds(
        lambda warm: PublishedRounds(warm, tmp_path, random.Random(seed), server),
        tmp_path,
        pytestconfig.getoption("--publish-cycles") // 2,
        f"{name}, seed {seed}",
        enough=ENOUGH,
    )
