"""Quotas under many creations at a time and kill -9: never exceeded, and right to the byte after one sweep.

More by hand: `python -m pytest tests/faults/test_kill_quotas.py --kills=200 --seed=7 -s`.
"""

import asyncio
import random
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from onward_process import OnwardProcess
from owners_server import PROGRAM
from redis import asyncio as aioredis

from onward.protocol.model import GONE, Limits, Status, Upload
from onward.protocol.promises import charge
from onward.server.uploads.engine import Engine
from onward.storage import open_storage
from onward.storage.base import Usage

SIZE, ROOM = 1000, 10  # bytes of an upload, and how many of these the quota has room for
QUOTA, MOST = SIZE * ROOM, 12
LIMITED = {"X-Owner": "ann", "X-Quota": str(QUOTA), "X-Token": "link", "X-Max-Uploads": str(MOST)}
OPTIONS = ("--sweep-every=0.3", "--quiet-after=0.2", "--log-level=warning", "--durability=process")
ALL = frozenset(Status)
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
IMPATIENT = aiohttp.ClientTimeout(10)


@asynccontextmanager
async def nodes(data: Path, state: str, count: int) -> AsyncIterator[list[OnwardProcess]]:
    """Run servers on one data folder."""
    servers = [OnwardProcess(data, state, OPTIONS, PROGRAM) for _ in range(count)]
    try:
        for server in servers:
            await server.start()
        yield servers
    finally:
        for server in servers:
            if server.running:
                await server.kill9()


def kinds(state_url: str) -> int:
    """Give how many servers may share a state."""
    return 1 if state_url == "sqlite:" else 2


@pytest.mark.parametrize("limit", [{"X-Quota": str(QUOTA)}, {"X-Token": "link", "X-Max-Uploads": str(ROOM)}], ids=list)
async def test_of_a_hundred_creations_at_a_time_exactly_ten_are_let_in(
    tmp_path: Path, state_url: str, http: aiohttp.ClientSession, limit: dict[str, str]
) -> None:
    async with nodes(tmp_path / "data", state_url, kinds(state_url)) as servers:

        async def create(number: int) -> int:
            headers = tus.TUS | limit | {"X-Owner": "ann", "Upload-Length": str(SIZE)}
            async with http.post(servers[number % len(servers)].url, headers=headers) as answer:
                return answer.status

        statuses = Counter(await asyncio.gather(*map(create, range(100))))
    assert statuses == {201: ROOM, 413: 100 - ROOM}


class Crowd:
    """Clients that create, fill, fail and remove uploads, until their server is killed."""

    def __init__(self, http: aiohttp.ClientSession, dice: random.Random) -> None:
        self._http, self._dice = http, dice
        self.statuses: Counter[int] = Counter()
        self.urls: list[str] = []

    async def work(self, files: str) -> None:
        """Work until the server is gone."""
        with suppress(aiohttp.ClientError, TimeoutError, AssertionError):
            while True:
                await self._dice.choice((self._create, self._create, self._grow, self._remove))(files)

    async def _create(self, files: str) -> None:
        wrong = {"Repr-Digest": f"sha-256=:{'A' * 43}=:"} if self._dice.random() < 0.2 else {}
        length = {"Upload-Length": str(SIZE)} if self._dice.random() < 0.6 else {"Upload-Defer-Length": "1"}
        async with self._http.post(files, headers=tus.TUS | LIMITED | length | wrong, timeout=IMPATIENT) as answer:
            self.statuses[answer.status] += 1
            if answer.status == 201:
                self.urls.append(answer.headers["Location"].rpartition("/")[2])

    async def _grow(self, files: str) -> None:
        async def body() -> AsyncIterator[bytes]:
            for _ in range(self._dice.randrange(1, 12)):
                yield b"x" * 100
                await asyncio.sleep(0.002)

        if self.urls:
            url = f"{files}/{self._dice.choice(self.urls)}"
            head = await tus.head(self._http, url)
            if "Upload-Offset" in head.headers and head.headers.get("Upload-Length") != head.headers["Upload-Offset"]:
                await tus.patch(self._http, url, int(head.headers["Upload-Offset"]), body())

    async def _remove(self, files: str) -> None:
        if len(self.urls) > ROOM // 2:
            url = self.urls.pop(self._dice.randrange(len(self.urls)))
            async with self._http.delete(f"{files}/{url}", headers=tus.TUS, timeout=IMPATIENT):
                pass


async def swept(data: Path, state: str) -> tuple[Usage, list[Upload], list[Upload]]:
    """Sweep once as another node; give what is reserved afterwards, and the records before and after it."""
    storage = await open_storage(state=state, blobs="file:", data=data)
    engine = Engine(storage, Limits(quiet_after=0.2), lease_wait=1.0, boot=BOOT)
    try:
        before = (await storage.state.page(after=None, limit=1000, statuses=ALL)).uploads
        await engine.sweep.all()
        after = (await storage.state.page(after=None, limit=1000, statuses=ALL)).uploads
        return await storage.state.quotas.usage("ann"), before, after
    finally:
        await engine.close()


async def end_leases(url: str) -> None:
    """End the leases that killed servers have left, as time would do it in five seconds."""
    client = aioredis.Redis.from_url(url)
    async for key in client.scan_iter("*:lease"):
        await client.delete(key)
    await client.aclose()


def recount(uploads: list[Upload]) -> Usage:
    """Count what the records take."""
    live = [upload for upload in uploads if upload.status not in GONE]
    return Usage(sum(map(charge, live)), len(live))


async def test_a_quota_holds_and_is_right_again_after_any_kill_9(
    tmp_path: Path,
    state_url: str,
    pytestconfig: pytest.Config,
    seed: int,
    http: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("onward.storage.state.redis.quotas.AGE", -1.0)  # so that a sweep examines all reservations
    dice, began, most, left = random.Random(seed), time.monotonic(), Usage(0, 0), 0
    statuses: Counter[int] = Counter()
    data, kills = tmp_path / "data", pytestconfig.getoption("--kills")
    async with nodes(data, state_url, kinds(state_url)) as servers:
        crowd = Crowd(http, dice)
        for _ in range(kills):
            working = [asyncio.create_task(crowd.work(dice.choice(servers).url)) for _ in range(12)]
            await asyncio.sleep(dice.uniform(0.1, 0.5))
            for server in servers:
                await server.kill9()
            await asyncio.gather(*working)
            if state_url != "sqlite:":
                await end_leases(state_url)
            usage, before, after = await swept(data, state_url)
            found = recount(before)
            assert found.bytes <= QUOTA, f"seed {seed}"
            assert found.uploads <= MOST, f"seed {seed}"
            assert usage == recount(after), f"seed {seed}"
            left += usage != found
            most = Usage(max(most.bytes, found.bytes), max(most.uploads, found.uploads))
            for server in servers:
                await server.start()
        statuses += crowd.statuses
    print(
        f"{kills} kills, seed {seed}: {dict(statuses)}, most {most}, put right {left}, {time.monotonic() - began:.1f} s"
    )
    assert statuses[201]
    assert statuses[413]
    shutil.rmtree(data)
