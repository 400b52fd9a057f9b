"""The n-th call of a scenario fails, once or from then on; the client hears a stated answer, and comes back."""

import errno
import os
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from simulated_check import Check, Crash
from simulated_client import AGAIN, Client
from simulated_crashes import Case, Simulation
from simulated_damage import PLAIN
from simulated_journal import Journal
from simulated_scenarios import Scenario
from simulated_world import World, machine

from onward.protocol.errors import Failed, Gone, Refusal
from onward.server.http.problems import FAULTS
from onward.storage.base import Full, Missing, StorageError, Unreachable

SHORT, STATE_DOWN, STATE_FULL = -1, -2, -3
GROWING = ("pwrite", "copy_file_range", "fdatasync", "fsync", "syncfs")
SYNCING = ("fdatasync", "fsync", "syncfs")
KINDS: dict[str, tuple[int, ...]] = {
    "open": (
        errno.EIO, errno.ENOSPC, errno.EMFILE, errno.EACCES, errno.EPERM, errno.EROFS, errno.ESTALE, errno.ELOOP,
        errno.ENOTDIR,
    ),
    "close": (errno.EIO, errno.ENOSPC, errno.EINTR),
    "pwrite": (errno.EIO, errno.ENOSPC, errno.EDQUOT, SHORT),
    "preadv": (errno.EIO,),
    "copy_file_range": (errno.EIO, errno.ENOSPC, errno.EXDEV, SHORT),
    "ftruncate": (errno.EIO,),
    "fchmod": (errno.EIO, errno.EROFS),
    "fdatasync": (errno.EIO, errno.ENOSPC, errno.EDQUOT),
    "fsync": (errno.EIO, errno.ENOSPC, errno.EDQUOT),
    "syncfs": (errno.EIO, errno.ENOSPC),
    "fsync_folder": (errno.EIO, errno.ENOSPC),
    "rename": (errno.EIO, errno.ENOSPC, errno.EINTR, errno.EACCES, errno.EXDEV),
    "link": (errno.EIO, errno.ENOSPC, errno.EINTR, errno.EACCES, errno.EPERM, errno.EXDEV, errno.EMLINK),
    "stat": (errno.EIO, errno.EACCES, errno.ELOOP, errno.ENOTDIR),
    "unlink": (errno.EIO, errno.EROFS, errno.EINTR),
    "insert": (STATE_DOWN, STATE_FULL),
    "save": (STATE_DOWN, STATE_FULL),
    "forget": (STATE_DOWN, STATE_FULL),
    "load": (STATE_DOWN,),
    "due": (STATE_DOWN,),
    "inserted": (STATE_DOWN,),
    "saved": (STATE_DOWN,),
}  # fmt: skip
STATE_CALLS = ("insert", "inserted", "save", "saved", "forget", "load", "due")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, STATE_FULL)


@dataclass(slots=True)
class Trouble:
    """Which call fails, how, whether all that follow do too, and whether memory hides what a failed sync dropped."""

    number: int
    kind: int
    lasting: bool = False
    remembers: bool = False
    seen: int = 0
    over: bool = False
    call: str = ""

    def __str__(self) -> str:
        name = errno.errorcode.get(self.kind) or {SHORT: "short", STATE_DOWN: "down", STATE_FULL: "full"}[self.kind]
        return f"call {self.number}, {self.call}: {name}, lasting={self.lasting}, remembers={self.remembers}"

    def __call__(self, call: str) -> int | None:
        """Fail if it is time to."""
        self.seen += 1
        if (
            self.over
            or self.seen < self.number
            or (self.seen > self.number and not (self.lasting and self._hits(call)))
        ):
            return None
        self.over = not self.lasting
        if self.kind == SHORT:
            return 1
        if self.kind in (STATE_DOWN, STATE_FULL):
            raise (Full if self.kind == STATE_FULL else Unreachable)("as the test wants it")
        raise OSError(self.kind, os.strerror(self.kind))

    def _hits(self, call: str) -> bool:
        if self.kind in (STATE_DOWN, STATE_FULL):
            return call in STATE_CALLS
        return call in GROWING if self.kind in (*NO_ROOM, SHORT) else call not in STATE_CALLS


class ErrorSweep:
    """All single troubles of one scenario."""

    def __init__(self, folder: Path, scenario: Scenario) -> None:
        self.folder, self.scenario = folder, scenario
        self.counts: Counter[str] = Counter()
        self._simulation = Simulation(folder, scenario, 1)

    async def run(self) -> None:
        """Let each call fail in each way."""
        calls: list[str] = []
        with self._world() as world:
            world.disk.fault = world.state.fault = lambda call: calls.append(call)  # noqa: PLW0108 - so typed
            await self.scenario.script(Client(world, self.scenario.plans))
        for number, call in enumerate(calls, 1):
            for kind in KINDS[call]:
                lasting = (False, True) if kind not in (errno.EXDEV, errno.EINTR) else (False,)
                for trouble in [Trouble(number, kind, each, call=call) for each in lasting]:
                    await self.suffer(trouble)
                if call in SYNCING:
                    await self.suffer(Trouble(number, kind, remembers=True, call=call))

    async def suffer(self, trouble: Trouble) -> None:
        """Run the scenario into a trouble, out of it, and check; then cut the power and check again."""
        self.counts["runs"] += 1
        try:
            journal = await self._suffer(trouble)
            damage = len(PLAIN) if self.counts["runs"] % 3 == 0 else PLAIN.index("dropped")
            await self._simulation.crash(journal, Case(self.scenario.name, 1, len(journal.steps), damage))
        except Exception as error:
            error.add_note(f"in {self.scenario.name}, {trouble}")
            raise

    async def _suffer(self, trouble: Trouble) -> Journal:
        with self._world() as world:
            client = Client(world, self.scenario.plans)
            world.disk.fault = world.state.fault = trouble
            world.disk.remembers = trouble.remembers
            try:
                await self.scenario.script(client)
            except (Refusal, StorageError) as answer:
                self._is_stated(answer, trouble)
                self.counts["answers"] += 1
            if trouble.lasting:
                await client.attempt()
            await world.engine.sweep.long.over()
            assert not world.disk.still_open, f"I10: {world.disk.still_open} are left open"
            trouble.over = True
            before = world.journal.before(len(world.journal.steps))
            check = Check(client, Crash(before, world.policy.relaxed))
            await check.recovered()
            await check.ended()
            await world.engine.sweep.long.over()
            assert not world.disk.still_open, f"I10: {world.disk.still_open} are left open"
            return before if world.policy.relaxed else world.journal

    def _is_stated(self, answer: Exception, trouble: Trouble) -> None:
        if isinstance(answer, AGAIN) and not isinstance(answer, Missing):
            status = FAULTS[type(answer)].status if isinstance(answer, StorageError) else getattr(answer, "status", 0)
            wanted = 507 if trouble.kind in NO_ROOM else 503
            assert status in (wanted, 423), f"I13: {answer!r}"
            return
        plans = self.scenario.plans
        expected = self.scenario.policy.relaxed or any(plan.ending != "completed" for plan in plans)
        assert isinstance(answer, Gone | Missing | Failed), f"I13: {answer!r}"
        assert expected, f"I13: {answer!r}"

    def _world(self) -> AbstractContextManager[World]:
        self.counts["worlds"] += 1
        scenario, folder = self.scenario, self.folder / f"trial{self.counts['worlds']}"
        apart, scans = scenario.apart, scenario.scans
        return machine(World(folder, Journal(), scenario.policy, "first", apart=apart, scans=scans))
