"""Crashes after every step of a scenario, with many damages each; each can be repeated by its numbers."""

import math
import random
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from simulated_check import Check, Crash
from simulated_client import Client
from simulated_damage import Damage
from simulated_journal import Journal
from simulated_scenarios import Scenario
from simulated_world import World, machine

AGAIN = 3  # crashes inside each recovery that is crashed again


@dataclass(frozen=True, slots=True)
class Case:
    """One crash state. Damage -1 is the death of the process, at which nothing is lost."""

    scenario: str
    seed: int
    index: int
    damage: int
    again: tuple[int, int] | None = None


class Simulation:
    """All crashes of one scenario; `counts` tells how many were tried."""

    def __init__(self, folder: Path, scenario: Scenario, seed: int) -> None:
        self.folder, self.scenario, self.seed = folder, scenario, seed
        self.counts: Counter[str] = Counter()
        self._machines = 0

    async def run(self, states: int) -> None:
        """Crash after every step, and some recoveries again, until at least so many states were tried."""
        journal = await self.record()
        indices = range(len(journal.steps) + 1)
        damages = max(7, math.ceil(states * 0.7 / len(indices)))
        for index in indices:
            for damage in range(-1, damages - 1):
                await self.crash(journal, Case(self.scenario.name, self.seed, index, damage))
        drawn = random.Random(f"{self.seed}/{self.scenario.name}")
        while self.counts["states"] < states:
            index, damage = drawn.choice(indices), drawn.choice((-1, -1, 1, 2, 3, drawn.randrange(6, 10**6)))
            await self.crash_twice(journal, Case(self.scenario.name, self.seed, index, damage), drawn)

    async def record(self) -> Journal:
        """Run the scenario to its end and give its journal."""
        with self._machine(Journal(), "first") as world:
            await self.scenario.script(Client(world, self.scenario.plans))
        return world.journal

    async def crash(self, journal: Journal, case: Case) -> Journal:
        """Crash, start again, and check; gives the journal from the start to the end of what followed."""
        self.counts["states"] += 1
        try:
            return await self._crash(journal, case)
        except Exception as error:
            error.add_note(f"repeat with {case}")
            raise

    async def crash_twice(self, journal: Journal, case: Case, drawn: random.Random) -> None:
        """Crash, and crash again somewhere in what followed."""
        later = await self.crash(journal, case)
        first = len(self._crashed(journal, case).steps)
        for _ in range(AGAIN):
            index = drawn.randrange(first, len(later.steps) + 1)
            second = (index, drawn.choice((-1, 0, 1, 2, 3, 4, 5, drawn.randrange(6, 10**6))))
            self.counts["second crashes"] += 1
            await self.crash(later, Case(case.scenario, case.seed, case.index, case.damage, second))

    async def repeat(self, case: Case) -> None:
        """Repeat one crash state, and the one before it."""
        journal = await self.record()
        if case.again:
            journal = await self.crash(journal, replace(case, again=None))
        await self.crash(journal, case)

    def _crashed(self, journal: Journal, case: Case) -> Journal:
        index, number = case.again or (case.index, case.damage)
        if number < 0:
            return journal.before(index)
        return journal.after_cut(index, Damage(number, f"{case.seed}/{case.scenario}/{case.index}/{case.again}"))

    async def _crash(self, journal: Journal, case: Case) -> Journal:
        index, number = case.again or (case.index, case.damage)
        boot = "first" if case.damage < 0 else "second"
        boot = boot if not case.again or number < 0 else "third"
        with self._machine(self._crashed(journal, case), boot) as world:
            client = Client(world, self.scenario.plans)
            check = Check(client, Crash(journal.before(index), number >= 0 or case.damage >= 0))
            check.published()
            if (index + number) % 3 == 0:
                world.wait(6)
                await world.engine.sweep.all()
                check.published()
            await check.recovered()
            await check.ended()
        return world.journal

    def _machine(self, journal: Journal, boot: str) -> AbstractContextManager[World]:
        self._machines += 1
        scenario = self.scenario
        folder, apart, scans = self.folder / str(self._machines), scenario.apart, scenario.scans
        layout = scenario.layout if boot == "first" or not scenario.layout_later else scenario.layout_later
        shared = scenario.shared
        return machine(
            World(folder, journal, scenario.policy, boot, apart=apart, scans=scans, layout=layout, shared=shared)
        )
