"""The real engine on a simulated disk, crashed after every step: whatever was told is there, and right."""

from pathlib import Path

import pytest
from simulated_crashes import Simulation
from simulated_scenarios import SCENARIOS, Scenario

from onward.protocol.model import UploadId
from onward.storage.blobs.disk import DiskBlobs

STATES = 800  # for each scenario
SEED = 1


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_a_crash_after_any_step_loses_nothing_acknowledged(scenario: Scenario, memory: Path) -> None:
    simulation = Simulation(memory, scenario, SEED)
    await simulation.run(STATES)
    assert simulation.counts["states"] >= STATES
    assert simulation.counts["second crashes"] >= 50


async def test_publishing_what_is_published_leaves_it_there(memory: Path) -> None:
    blobs = DiskBlobs(memory)
    place = await blobs.create(UploadId("0" * 32))
    async with blobs.open(place, 0) as writer:
        writer.write(b"0123456789", 0)
    sealed = await blobs.seal(place, 10)
    assert await blobs.seal(sealed, 10) == await blobs.seal(place, 10) == sealed
    assert (memory / sealed).read_bytes() == b"0123456789"
    await blobs.close()
