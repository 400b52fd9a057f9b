"""kill -9 at any moment: every change is told to the receiver in the end, once for each id, in order, and nothing else.

More by hand: `python -m pytest tests/faults/test_outbox.py --cycles=3400 --seed=7 -s`.
"""

import asyncio
import random
import re
import time
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from forking_server import Child, Zygote, zygote
from redis_process import RedisProcess
from told_uploads import ToldUploads
from webhook_receiver import SECRET, Received, Receiver, receiver

from onward.protocol.events import EventType
from onward.protocol.model import FINAL, Role, Status, Upload
from onward.storage import open_storage

UPLOADS = 60  # for the usual 1000 cycles
AT_ONCE = 12
POINTS = ("created", "recorded", "judged", "renamed", "sealed", "answering", "claimed", "taken")
LONGEST_LIFE = 0.6  # seconds after which a server is killed that has not come to its point
SETTLED_WITHIN = 60.0
HASTY = {"expire_after": 6.0, "quiet_after": 0.3, "sweep_every": 0.2, "release_after": 0.5, "log_level": "warning"}
ENDS = {
    Status.COMPLETED: EventType.COMPLETED, Status.FAILED: EventType.FAILED, Status.TERMINATED: EventType.TERMINATED,
    Status.EXPIRED: EventType.EXPIRED,
}  # fmt: skip


class Node:
    """A server that is killed and started again until it is told to stay."""

    def __init__(self, warm: Zygote, data: Path, config: dict[str, Any], dice: random.Random) -> None:
        self.warm, self._data, self._config, self._dice = warm, data, config, dice
        self.port: int | None = None
        self.kills: Counter[str] = Counter()
        self.stays = asyncio.Event()

    async def live(self) -> None:
        """Live and die, and at last live until the task is cancelled."""
        while not self.stays.is_set():
            point = self._dice.choice(("", *POINTS))
            child = await self._start(point, self._dice.randrange(1, 6))
            await asyncio.wait({child.ended}, timeout=self._dice.uniform(0.05, LONGEST_LIFE))
            self.port = None
            self.kills[point if child.ended.done() else ""] += 1
            await child.kill()
        await self._start("", 1)

    async def _start(self, point: str, hit: int) -> Child:
        child = await self.warm.fork(self._data, point=point, hit=hit, config=self._config)
        self.port = await child.port()
        return child


def unreliable(dice: random.Random) -> Any:
    """Take most events; refuse some, and some are taken although the answer is lost."""

    async def answer(_: Received) -> web.StreamResponse:
        chance = dice.random()
        if chance < 0.05:
            await asyncio.sleep(2)  # longer than the sender waits
        return web.Response(status=500 if chance > 0.9 else 204)

    return answer


async def waiting(http: aiohttp.ClientSession, nodes: list[Node]) -> int:
    """Ask a server how many events wait."""
    async with http.get(f"http://127.0.0.1:{nodes[0].port}/metrics") as answer:
        found = re.search(r"^onward_events_waiting ([0-9.]+)$", await answer.text(), re.MULTILINE)
    assert found
    return int(float(found[1]))


async def records(state: str, data: Path) -> dict[str, Upload]:
    """Read all records, once no server runs."""
    storage = await open_storage(state=state, blobs="file:", data=data)
    try:
        page = await storage.state.page(after=None, limit=100_000, statuses=frozenset(Status))
        assert page.following is None
        assert not page.damaged
        return {upload.id: upload for upload in page.uploads}
    finally:
        await storage.close()


def check(hook: Receiver, uploads: dict[str, Upload]) -> Counter[str]:
    """Compare what the receiver was told with what happened; returns how many uploads ended how."""
    told: defaultdict[str, list[Received]] = defaultdict(list)
    bodies: dict[str, bytes] = {}
    for got in hook.received:
        told[got.upload].append(got)
        first = bodies.setdefault(got.id, got.body)
        assert first == got.body, f"another body under the same id: {first!r}, {got.body!r}"
    assert set(told) <= set(uploads), "an event of an upload that does not exist"
    for id_, upload in uploads.items():
        seqs = [got.event["data"]["seq"] for got in told[id_]]
        assert seqs == sorted(seqs), f"out of order: {[got.type for got in told[id_]]}"
        expected = [EventType.CREATED]
        if upload.status in FINAL and not (upload.status is Status.COMPLETED and upload.role is Role.PARTIAL):
            expected.append(ENDS[upload.status])
        taken = [got for got in hook.taken if got.upload == id_]
        assert list(dict.fromkeys(got.type for got in taken)) == expected, (id_, upload.status)
        assert len({got.id for got in told[id_]}) == len(expected), "an event had two ids, or did not happen"
        assert seqs[-1] <= upload.version
    return Counter(f"{upload.role} {upload.status}" for upload in uploads.values())


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_every_change_is_told_in_the_end_in_order_and_under_one_id(
    kind: str, tmp_path: Path, pytestconfig: pytest.Config, seed: int, redis_process: RedisProcess
) -> None:
    dice, began = random.Random(seed), time.monotonic()
    count = max(round(pytestconfig.getoption("--cycles") * UPLOADS / 1000), 24)
    state = "sqlite:"
    if kind == "redis":
        redis_process.flush()
        state = redis_process.url
    async with AsyncExitStack() as stack:
        hook = await stack.enter_async_context(receiver(unreliable(dice)))
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0))
        )
        config = {"state": state, "webhook": [hook.url], "webhook_secret": SECRET, **HASTY}
        nodes = [
            Node(await stack.enter_async_context(zygote(tmp_path / f"log{number}")), tmp_path / "data", config, dice)
            for number in range(2 if kind == "redis" else 1)
        ]
        lives = [asyncio.create_task(node.live()) for node in nodes]
        uploads = ToldUploads(http, dice, lambda: [node.port for node in nodes if node.port])
        try:
            await uploads.run(count, AT_ONCE)
            for node in nodes:
                node.stays.set()
            await asyncio.gather(*lives)
            await asyncio.sleep(HASTY["expire_after"] + 1)  # type: ignore[operator]
            async with asyncio.timeout(SETTLED_WITHIN):
                while await waiting(http, nodes):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        finally:
            for life in lives:
                life.cancel()
            kills = sum((node.kills for node in nodes), Counter())
            print(f"{kind}, seed {seed}: kills {dict(kills)}, {len(hook.received)} requests of {len(hook.taken)} taken, "
                  f"{time.monotonic() - began:.1f} s")  # fmt: skip
        logs = [node.warm.log() for node in nodes]
    assert not any("Traceback" in log for log in logs), logs
    found = check(hook, await records(state, tmp_path / "data"))
    print(dict(found))
    for kind_of_end in ("single completed", "final completed", "single expired", "single terminated", "single failed"):
        assert found[kind_of_end], f"no upload is {kind_of_end}"
