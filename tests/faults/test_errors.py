"""Each call of each scenario fails in each way: stated answers, nothing told is taken back, and all ends well."""

import errno
from pathlib import Path

import pytest
from simulated_client import Client, Plan
from simulated_errors import ErrorSweep, Trouble
from simulated_journal import Journal
from simulated_scenarios import SCENARIOS, Scenario
from simulated_world import World, machine

from onward.protocol.errors import Gone
from onward.protocol.model import Status
from onward.storage.base import Durability, Full


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_an_error_at_any_call_is_reported_and_made_up_for(scenario: Scenario, memory: Path) -> None:
    sweep = ErrorSweep(memory, scenario)
    await sweep.run()
    assert sweep.counts["runs"] >= 75
    assert sweep.counts["answers"] >= 50


async def test_a_full_disk_takes_no_bytes_but_lets_uploads_go(memory: Path) -> None:
    with machine(World(memory / "machine", Journal(), Durability.FULL, "first")) as world:
        client = Client(world, (Plan(name="whole", size=9_000), Plan(name="other", size=9_000)))
        for name in client.plans:
            await client.create(name)
            await client.send(name, 0, 4_000)
        world.disk.fault = Trouble(1, errno.ENOSPC, lasting=True)
        with pytest.raises(Full):
            await client.send("whole", 4_000)
        await world.engine.terminate(client.ids["other"])
        assert client.ids["other"] not in set(world.files("partial"))
        assert (await world.engine.inspect(client.ids["whole"])).offset == 4_000
        world.disk.fault = lambda _: None
        assert (await client.send("whole", 4_000)).status is Status.COMPLETED


async def test_an_upload_that_cannot_be_looked_after_keeps_the_sweep_from_no_other(memory: Path) -> None:
    with machine(World(memory / "machine", Journal(), Durability.FULL, "first")) as world:
        client = Client(world, (Plan(name="whole", size=9_000), Plan(name="other", size=9_000)))
        for name in client.plans:
            await client.create(name)
            await client.send(name, 0, 4_000)
        world.wait(2_000)
        world.disk.fault = Trouble(1, errno.EIO)
        await world.engine.sweep.all()
        assert [record.status for record in world.journal.latest().values()] == [Status.EXPIRED, Status.EXPIRED]


@pytest.mark.parametrize("remembers", [False, True])
async def test_a_file_that_failed_to_sync_is_lost_with_relaxed_durability(memory: Path, remembers: bool) -> None:
    with machine(World(memory / "machine", Journal(), Durability.PROCESS, "first")) as world:
        client = Client(world, (Plan(name="whole", size=9_000),))
        await client.create("whole")
        await client.send("whole", 0, 4_000)
        world.disk.fault, world.disk.remembers = Trouble(3, errno.EIO, call="fsync"), remembers
        world.wait(10)
        await world.engine.sweep.all()
        with pytest.raises(Gone):
            await world.engine.inspect(client.ids["whole"])
