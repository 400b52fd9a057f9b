"""kill -9 at random times and at every failpoint: no told offset is taken back, no file is wrong, all is finished.

More by hand: `python -m pytest tests/faults/test_kill.py --cycles=10000 --seed=7 -s`.
"""

import random
import time
from pathlib import Path

import pytest
from rounds import Rounds
from zygote import zygote

from storage.base import Durability

SHARES = {Durability.FULL: 0.8, Durability.GROUP: 0.1, Durability.PROCESS: 0.1}
ENOUGH = 800  # kills that come to every point


@pytest.mark.parametrize("durability", SHARES)
async def test_no_told_byte_is_lost_by_kill_9(
    tmp_path: Path, pytestconfig: pytest.Config, seed: int, durability: Durability
) -> None:
    began = time.monotonic()
    cycles = round(pytestconfig.getoption("--cycles") * SHARES[durability])
    async with zygote(tmp_path / "log") as warm:
        rounds = Rounds(warm, tmp_path, random.Random(seed), durability=durability)
        try:
            await rounds.run(cycles)
        finally:
            print(f"{durability}, seed {seed}: {rounds.figures()}, {time.monotonic() - began:.1f} s")
        assert "Traceback" not in warm.log(), warm.log()
    if cycles >= ENOUGH:
        assert not rounds.missed(), f"never killed at these; seed {seed}"
