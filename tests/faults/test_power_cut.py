"""Power cuts at random times and at every failpoint, on an ext4 of its own: what was told is there, or lost as a whole.

More by hand: `python -m pytest tests/faults/test_power_cut.py --cuts=5000 --seed=7 -s`.
"""

import asyncio
import os
import random
import shutil
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from async_http_connection import connected
from crash_rounds import Rounds
from forking_server import Child, Zygote, zygote
from power_cut_disk import Disk, disk

from onward.server.control.channel import NAME
from onward.storage.base import Durability

SHARES = {Durability.FULL: 0.5, Durability.GROUP: 0.2, Durability.PROCESS: 0.3}
ENOUGH_TO_GROW = 300  # records that fill the log of SQLite, which is written from its start again then


class Cuts(Rounds):
    """Power cuts; a server sees another run of the machine after each."""

    word = "cuts"

    def __init__(self, warm: Zygote, on: Disk, dice: random.Random, durability: Durability) -> None:
        super().__init__(warm, on.path / durability, dice, durability=durability)
        self.volatile = durability.relaxed
        self._disk, self._boots, self._grown = on, count(), on.path / "grown"

    async def _prepare(self, path: Path) -> None:
        """Begin with a log of SQLite that has grown: from then on its syncs make no folder durable on their way."""
        if self.volatile:
            return
        if not self._grown.exists():
            child = await self._warm.fork(self._grown)
            port = await child.port()
            assert port
            async with connected(port) as line:
                for _ in range(ENOUGH_TO_GROW):
                    assert (await line.ask("POST", "/files", {"Upload-Length": "1"})).status == 201
            await child.kill()
        no_socket = shutil.ignore_patterns(NAME)
        await asyncio.to_thread(shutil.copytree, self._grown, path, ignore=no_socket)
        os.sync()

    def _more(self) -> dict[str, Any]:
        return {"boot": f"boot {next(self._boots)}"}

    async def _strike(self, child: Child) -> None:
        """Stop the server first: in a kernel that lives on, a sync that meets the cut may say that it succeeded."""
        await child.kill()
        self._disk.cut()
        self._disk.unmount()
        self._disk.mount()


@pytest.mark.parametrize("durability", SHARES)
async def test_a_power_cut_takes_back_nothing_acknowledged(
    tmp_path: Path, pytestconfig: pytest.Config, seed: int, durability: Durability
) -> None:
    began = time.monotonic()
    with disk(tmp_path) as on:
        async with zygote(tmp_path / "log") as warm:
            cuts = Cuts(warm, on, random.Random(seed), durability)
            try:
                await cuts.run(round(pytestconfig.getoption("--cuts") * SHARES[durability]))
            finally:
                print(f"{durability}, seed {seed}: {cuts.figures()}, {time.monotonic() - began:.1f} s")
    assert bool(cuts.counts["lost as a whole"]) is durability.relaxed
