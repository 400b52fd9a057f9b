"""kill -9 at random times and at every failpoint: no told offset is taken back, no file is wrong, all is finished.

More by hand: `python -m pytest tests/faults/test_kill.py --cycles=10000 --seed=7 -s`.
"""

import hashlib
import random
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from async_http_connection import Lost, connected
from crash_rounds import PLAN, Rounds, run_rounds
from forking_server import Zygote, zygote
from http_connection import OCTETS
from layout_folder import LayoutFolder
from mounts import elsewhere
from random_clients import Fleet
from upload_history import source

from onward.storage.base import Durability

SHARES = {Durability.FULL: 0.8, Durability.GROUP: 0.1, Durability.PROCESS: 0.1}
LAYOUTS = ("{id}", "{name}", "{sha256:1}/{name}", "{date:%Y/%M}/{name}{ext}", "{sha256:1}/{sha256}")
LAID = 0.3  # further cycles, with a layout
APART = 0.15  # further cycles, with the published files on another file system
ENOUGH = 800  # kills that come to every point


class Apart(Rounds):
    """Kills of servers whose published files lie on another file system."""

    points = PLAN + [("publishing", hit) for hit in (1, 2, 3)]

    def __init__(self, warm: Zygote, folder: Path, dice: random.Random, mounted: ExitStack) -> None:
        super().__init__(warm, folder, dice)
        self._mounted = mounted

    async def _prepare(self, path: Path) -> None:
        path.mkdir()  # noqa: ASYNC240
        self._mounted.enter_context(elsewhere(path / "files"))


class Laid(Rounds):
    """Kills of servers with a layout under which most files want the same few paths, and that changes with starts."""

    points = PLAN + [(point, hit) for point in ("staged", "placed") for hit in (1, 2, 3)]
    folder = LayoutFolder

    def _more(self) -> dict[str, Any]:
        self._config["layout"] = self._dice.choice(LAYOUTS)  # of the next start
        return {}

    async def _leave(self, path: Path, fleet: Fleet) -> None:
        assert isinstance(fleet.folder, LayoutFolder)
        self.counts["removed without a record"] += await fleet.folder.tidy()


class LaidApart(Laid, Apart):
    """The same, with the published files on another file system."""

    points = Laid.points + [("publishing", hit) for hit in (1, 2, 3)]


@pytest.mark.parametrize("durability", SHARES)
async def test_no_acknowledged_byte_is_lost_by_kill_9(
    tmp_path: Path, pytestconfig: pytest.Config, seed: int, durability: Durability
) -> None:
    await run_rounds(
        lambda warm: Rounds(warm, tmp_path, random.Random(seed), durability=durability),
        tmp_path,
        round(pytestconfig.getoption("--cycles") * SHARES[durability]),
        f"{durability}, seed {seed}",
        enough=ENOUGH,
    )


async def test_no_file_is_lost_or_half_made_by_kill_9_if_it_is_published_elsewhere(
    tmp_path: Path, pytestconfig: pytest.Config, seed: int
) -> None:
    cycles = round(pytestconfig.getoption("--cycles") * APART)
    with ExitStack() as mounted:
        rounds = await run_rounds(
            lambda warm: Apart(warm, tmp_path, random.Random(seed), mounted),
            tmp_path,
            cycles,
            f"apart, seed {seed}",
            enough=ENOUGH,
        )
    assert rounds.counts["completed"]


@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
async def test_a_file_has_one_path_and_its_own_bytes_after_any_kill_9(
    tmp_path: Path, pytestconfig: pytest.Config, seed: int, apart: bool
) -> None:
    cycles = round(pytestconfig.getoption("--cycles") * LAID / 2)
    with ExitStack() as mounted:

        def make(warm: Zygote) -> Laid:
            dice = random.Random(seed)
            return LaidApart(warm, tmp_path, dice, mounted) if apart else Laid(warm, tmp_path, dice)

        rounds = await run_rounds(make, tmp_path, cycles, f"laid, seed {seed}", enough=ENOUGH)
    assert rounds.counts["completed"]


@pytest.mark.parametrize("point", ["sealing", "renamed", "sealed", "recorded"])
async def test_a_short_upload_leaves_a_file_without_a_record_only_with_its_mark(tmp_path: Path, point: str) -> None:
    folder, data = LayoutFolder(tmp_path / "data"), source(7, 4000)
    folder.allowed.add(hashlib.sha256(data).digest())
    async with zygote(tmp_path / "log") as warm:
        child = await warm.fork(folder.path, point=point)
        with pytest.raises(Lost):
            async with connected(await child.living_port()) as line:
                await line.ask("POST", "/files", {"Upload-Length": "4000", "Content-Type": OCTETS}, data)
        await child.kill()
        folder.check_at_rest()
        published = list((folder.path / "files").iterdir())
        assert len(published) == (point != "sealing")
        if published and point != "recorded":
            (mark := folder.path / "partial" / published[0].name).rename(tmp_path / "mark")
            with pytest.raises(AssertionError, match="without a record"):
                folder.check_at_rest()
            mark.write_bytes(data)  # the bytes are right, and it is another file
            with pytest.raises(AssertionError, match="without a record"):
                folder.check_at_rest()
            (tmp_path / "mark").rename(mark)
        assert await folder.tidy() == (point in ("renamed", "sealed"))
        assert [file.exists() for file in published] == [point == "recorded"] * len(published)
