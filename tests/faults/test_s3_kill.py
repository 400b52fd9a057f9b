"""kill -9 of servers whose bytes are in a bucket: no told offset is taken back, no file is wrong, all is finished.

At the end the bucket has the finished files and nothing else. A cycle is the life of one server process: it starts with what
the last one has left, all uploads are held against what was told of them, clients send, and it is killed, at a named
point or at any moment. A third of the cycles is for two servers over one bucket (test_s3_nodes.py). More by hand:
`python -m pytest tests/faults/test_s3_kill.py --s3-cycles=1000 --seed=7 -s`.
"""

import os
import random
from pathlib import Path

import pytest
from crash_rounds import run_rounds
from s3_process import KEYS, S3Process
from s3_rounds import S3Rounds

ENOUGH = 500  # kills that come to every point


@pytest.mark.parametrize("name", ["versitygw", "seaweedfs"])
async def test_no_acknowledged_byte_is_lost_by_kill_9_if_bytes_are_in_a_bucket(
    tmp_path: Path, pytestconfig: pytest.Config, seed: int, request: pytest.FixtureRequest, name: str
) -> None:
    server: S3Process = request.getfixturevalue(name)
    os.environ.update(KEYS)
    await run_rounds(
        lambda warm: S3Rounds(warm, tmp_path, random.Random(seed), server),
        tmp_path,
        pytestconfig.getoption("--s3-cycles") // 3,
        f"{name}, seed {seed}",
        enough=ENOUGH,
    )
