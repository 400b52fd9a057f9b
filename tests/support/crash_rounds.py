"""Rounds of a server's life: started, checked, used, killed at any moment; the last round finishes everything."""

import asyncio
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from async_http_connection import Lost
from forking_server import Child, Zygote, zygote
from random_clients import Fleet
from upload_history import Folder

RARE = {"copied": "join", "removed": "remove", "forgotten": "remove"}
COMMON = (
    "created", "opened", "written", "synced", "recorded", "judged", "sealing", "renamed", "sealed", "answering",
)  # fmt: skip
PLAN = [(point, hit) for point in COMMON for hit in (1, 2, 5)] + [(point, hit) for point in RARE for hit in (1, 2, 3)]
LIFE = 15  # strikes on one data folder
AT_MOST = 0.2  # seconds until a server is struck that has not come to its point
LONGEST = 0.06  # seconds after which a server is struck at random
HASTY = {"sweep_every": 0.02, "quiet_after": 0.05, "forget_after": 0.0}
Kind = TypeVar("Kind", bound="Rounds")


class Rounds:
    """Strikes on one data folder after the other, and what was seen of them."""

    word = "kills"
    volatile = False
    points = PLAN
    folder: Callable[[Path], Folder] = Folder
    fleet: type[Fleet] = Fleet
    patience = AT_MOST, LONGEST

    def __init__(self, warm: Zygote, folder: Path, dice: random.Random, **config: object) -> None:
        self.struck: Counter[tuple[str, int]] = Counter()
        self.counts: Counter[str] = Counter()
        self.slowest = 0.0
        self._warm, self._folder, self._dice, self._config = warm, folder, dice, config
        self._plan: list[tuple[str, int]] = []
        self._plans = 0  # how often all points were gone through

    async def run(self, count: int) -> None:
        """Strike so often."""
        while self.counts[self.word] < count:
            self.counts["folders"] += 1
            await self._life(self._folder / str(self.counts["folders"]), min(LIFE, count - self.counts[self.word]))

    def missed(self) -> list[tuple[str, int]]:
        """Give the points that no server died at."""
        return [each for each in self.points if not self.struck[each]]

    def figures(self) -> str:
        """Tell what was seen."""
        struck = [self.struck[each] for each in self.points]
        told = dict(self.counts) | {"at failpoints": sum(struck), "fewest at one": min(struck)}
        return ", ".join(f"{word}: {count}" for word, count in told.items()) + f", slowest start: {self.slowest:.3f} s"

    def _more(self) -> dict[str, Any]:
        """Give what else a server is told."""
        return {}

    async def _prepare(self, path: Path) -> None:
        """Make what a data folder begins with."""

    async def _leave(self, path: Path, fleet: Fleet) -> None:
        """Check what a data folder ends with."""

    async def _strike(self, child: Child) -> None:
        """End a server, if it hasn't ended at its point."""
        await child.kill()

    async def _life(self, path: Path, strikes: int) -> None:
        folder = self.folder(path)
        fleet = self.fleet(folder, self._dice, volatile=self.volatile)
        hasty = HASTY if self.counts["folders"] % 4 == 0 else {}
        await self._prepare(path)
        for _ in range(strikes):
            await self._round(fleet, hasty)
        child = await self._warm.fork(path, config=self._config, **self._more())
        port = await child.port()
        assert port, self._warm.log()
        self.counts["completed"] += await fleet.finish(port)
        await child.kill()
        folder.check_at_rest()
        await self._leave(path, fleet)
        self.counts["requests"] += fleet.requests
        self.counts["bytes verified"] += folder.verified
        self.counts["lost as a whole"] += fleet.lost
        shutil.rmtree(path)

    async def _round(self, fleet: Fleet, hasty: dict[str, Any]) -> None:
        if not self._plan:
            self._plan = self.points + [("", 1)] * len(self.points)
            self._dice.shuffle(self._plan)
            self._plans += 1
        point, hit = self._plan.pop()
        config = self._config | (HASTY if point == "forgotten" else hasty)
        fleet.favour = RARE.get(point, "")
        began = time.monotonic()
        child = await self._warm.fork(fleet.folder.path, point=point, hit=hit, config=config, **self._more())
        using = asyncio.create_task(self._use(child, fleet, began))
        at_most, longest = self.patience
        if point and not self.struck[point, hit]:
            at_most *= self._plans  # a machine with much to do may come to a point late
        after = at_most if point else self._dice.uniform(0.0, longest)
        died, _ = await asyncio.wait({using}, timeout=after)
        self.struck[point, hit] += len(died)
        await self._strike(child)
        await asyncio.wait_for(using, 20)
        assert point or not died, "the server died by itself"
        self.counts[self.word] += 1
        fleet.folder.check_at_rest()

    async def _use(self, child: Child, fleet: Fleet, began: float) -> None:
        self.counts["in recovery"] += 1
        with suppress(Lost):
            if port := await child.port():
                self.slowest = max(self.slowest, time.monotonic() - began)
                await fleet.check(port)
                self.counts["in recovery"] -= 1
                await fleet.work(port)


async def run_rounds(make: Callable[[Zygote], Kind], folder: Path, count: int, title: str, *, enough: int) -> Kind:
    """Strike so often and print what was seen, under a title that names the seed.

    The log must have no traceback, and where there are `enough` strikes, a server must have died at every point.
    """
    began = time.monotonic()
    async with zygote(folder / "log") as warm:
        rounds = make(warm)
        try:
            await rounds.run(count)
        except AssertionError:
            print(warm.log())
            raise
        finally:
            print(f"{title}: {rounds.figures()}, {time.monotonic() - began:.1f} s")
        assert "Traceback" not in warm.log(), warm.log()
    if count >= enough:
        assert not rounds.missed(), f"never struck at these; {title}"
    return rounds
