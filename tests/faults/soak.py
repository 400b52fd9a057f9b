"""Two servers over one Redis under load, and a fault every few seconds: `python tests/faults/soak.py --minutes 30`.

Clients and watchers come and go; every file has to arrive whole, no told byte may be taken back. Prints what was done.
"""

import argparse
import asyncio
import os
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / name) for name in ("support", "faults"))]

import aiohttp
import test_redis_faults as redis_faults
from checking_watcher import Watcher
from onward_process import peak_memory
from retrying_sender import MAY_TRY_AGAIN, Sender
from server_pair import Group, redis_group

UPLOADERS = 6
EVERY = 5.0  # seconds between two faults
PEACE = 1.5  # seconds without one at least
PATIENCE = 60.0  # seconds until a watcher is told the end, of which several faults may take most
OPTIONS = ("--quiet-after=1", "--forget-after=20", "--release-after=5", "--reserve=0")
ALLOWED = MAY_TRY_AGAIN | {507}


async def server_killed(group: Group) -> None:
    """Kill one server, and start it again."""
    node = random.choice(group.nodes)
    await node.kill9()
    await asyncio.sleep(random.uniform(0, 1))
    await node.start()


async def server_stopped(group: Group) -> None:
    """Stop one server gracefully, and start it again."""
    node = random.choice(group.nodes)
    assert await node.stop() == 0
    await node.start()


FAULTS = (
    server_killed, server_killed, server_stopped, redis_faults.killed_at_once, redis_faults.emptied, redis_faults.flushed,
    redis_faults.scripts_flushed, redis_faults.full, redis_faults.stopped_shortly, redis_faults.stopped_long,
    redis_faults.paused, redis_faults.read_only, redis_faults.cut_off, redis_faults.stalled, redis_faults.unheard,
)  # fmt: skip


class Refused(Exception):
    """A creation was refused, as it may be."""


class Soak:
    """The load and its figures."""

    def __init__(self, group: Group, dice: random.Random) -> None:
        self.group, self.dice = group, dice
        self.counts: Counter[str] = Counter()
        self.over = False

    async def upload_for_ever(self) -> None:
        """Send one file after another."""
        while not self.over:
            try:
                await self._upload(os.urandom(int(2 ** self.dice.uniform(10, 24))))
            except Refused:
                self.counts["creations refused"] += 1
                await asyncio.sleep(0.5)

    async def _upload(self, data: bytes) -> None:
        """Send a file, watched, and check that it arrives."""
        ends = sorted({self.dice.randrange(1, len(data)) for _ in range(self.dice.randrange(4))})
        watchers: list[Watcher] = []
        sender = Sender(
            self.group.http, self.group.nodes, data, ends=ends, allowed=ALLOWED,
            floor=lambda: watchers[0].told if watchers else 0,
        )  # fmt: skip
        try:
            await sender.create()
        except (AssertionError, OSError, TimeoutError, aiohttp.ClientError) as error:
            raise Refused from error
        watchers.append(Watcher(sender.url(self.dice.choice(self.group.nodes))))
        async with watchers[0].watching(PATIENCE):
            await sender.finish()
        file, last = self.group.nodes[0].data / "files" / sender.id, watchers[0].last
        assert (last["status"], last["sha256"]) == ("completed", sender.sha256)
        assert file.read_bytes() == data, sender.id
        file.unlink()
        self.counts["files"] += 1
        self.counts["bytes"] += len(data)
        self.counts["tries"] += sum(sender.statuses.values()) + sender.lost

    async def strike_for(self, seconds: float) -> None:
        """Let faults strike one after another."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            fault = self.dice.choice(FAULTS)
            began = time.monotonic()
            await fault(self.group)
            self.counts[f"fault {fault.__name__}"] += 1
            await asyncio.sleep(max(PEACE, EVERY - (time.monotonic() - began)))
        self.over = True


async def soak(minutes: float, seed: int, folder: Path) -> None:
    """Run the load and the faults, and print what came of it."""
    async with redis_group(folder, options=OPTIONS) as group:
        run = Soak(group, random.Random(seed))
        async with asyncio.TaskGroup() as tasks:
            for _ in range(UPLOADERS):
                tasks.create_task(run.upload_for_ever())
            tasks.create_task(run.strike_for(minutes * 60))
        for key, count in sorted(run.counts.items()):
            print(f"{key}: {count}")
        for node in group.nodes:
            assert "Traceback" not in node.log(), node.log()
            left = sum(1 for _ in (node.data / "partial").iterdir())
            print(f"peak memory {peak_memory(node.process.pid) >> 20} MiB, {left} unfinished files left")


def main() -> None:
    """Read the words and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    words = parser.parse_args()
    print(f"seed {words.seed}, {words.minutes:g} minutes", flush=True)
    folder = Path(tempfile.mkdtemp())
    try:
        asyncio.run(soak(words.minutes, words.seed, folder))
    except BaseException:
        print(f"everything is left in {folder}")
        raise
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
