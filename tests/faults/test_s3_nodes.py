"""Servers over one Redis and one bucket, without a common disk: who was asleep past its lease changes nothing."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from forking_server import Child, Zygote, zygote
from onward_process import PROGRAM, ROOT, OnwardProcess, onward
from ports import free_port
from redis_process import RedisProcess, redis_server
from s3_process import KEYS, REGION, S3Process
from s3_rounds import COMMON, MIB, PREFIX, RARE, swept

ASLEEP = str(ROOT / "tests" / "support" / "suspended_server.py")
SIZE = 12 * MIB
PIECE = SIZE // 16
SIZES = (100, 4 * MIB, 5 * MIB, 11 * MIB + 3)
REFUSED = {0, 409, 423, 503}
FEW = (
    "in the middle of a PATCH",
    "before its second part is sent",
    "between a part and its record",
)  # where it is slow
SENDERS = 6  # clients at the same time
LONG, SHORT = 0.6, 0.4  # seconds until a node is killed that has not come to its point, and at random
POINTS = {
    "in the middle of a PATCH": "",
    "before its first part is sent": "sending:1",
    "between a part and its record": "sent:1",
    "before its second part is sent": "sending:2",
    "after the record of a part": "recorded:1",
    "before the tail is sent": "sending-tail:1",
    "between the tail and its record": "sent-tail:1",
    "before its file is completed": "completing:1",
    "once its file is published": "completed:1",
}


async def slowly(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), PIECE):
        yield data[at : at + PIECE]
        await asyncio.sleep(0.05)


async def send(http: aiohttp.ClientSession, url: str, data: bytes, offset: int = 0) -> int:
    """Send everything, and give the status; 0 where the connection was cut."""
    with suppress(aiohttp.ClientError):
        return (await tus.patch(http, url, offset, slowly(data), Content_Length=str(len(data)))).status
    return 0


async def told(http: aiohttp.ClientSession, url: str) -> int:
    """Give the offset that a watcher is told now."""
    async with http.get(f"{url}/progress") as answer:
        return int((await answer.json())["uploadedBytes"])


async def check(name: str, a: OnwardProcess, b: OnwardProcess, http: aiohttp.ClientSession, point: str) -> str:
    """Let A fall asleep, B finish with other bytes, and A wake up; gives the id of the upload."""
    await a.start()
    data = os.urandom(SIZE)
    url = await tus.create(http, a.url, SIZE)
    there = f"{b.url}/{url.rpartition('/')[2]}"
    sending = asyncio.create_task(send(http, url, data))
    async with asyncio.timeout(60):
        while not a.is_stopped():
            if not point and await told(http, there):
                a.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(0.02)
    known = await told(http, there)
    offset = await tus.offset(http, there)
    assert offset >= known, f"{name}: {known} was told, and then {offset}"
    whole = data[:offset] + os.urandom(SIZE - offset)
    if offset < SIZE:
        assert (await tus.patch(http, there, offset, whole[offset:])).status == 204, b.log()[-2000:]
    async with http.get(there) as answer:
        assert await answer.read() == whole, name
    async with http.get(f"{there}/progress") as answer:
        before = await answer.json()
    a.process.send_signal(signal.SIGCONT)
    status = await asyncio.wait_for(sending, 20)
    assert status in REFUSED | ({204} if offset == SIZE else set()), f"{name}: {status}"
    await asyncio.sleep(0.5)
    async with http.get(there) as answer:
        assert await answer.read() == whole, f"{name}: who was asleep changed the bytes"
    async with http.get(f"{there}/progress") as answer:
        assert await answer.json() == before, f"{name}: who was asleep changed the record"
    return url.rpartition("/")[2]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server:
        yield server


@pytest.mark.parametrize("kind", ["versitygw", "seaweedfs"])
async def test_who_was_asleep_changes_no_bytes_in_a_bucket(
    tmp_path: Path, redis: RedisProcess, http: aiohttp.ClientSession, request: pytest.FixtureRequest, kind: str
) -> None:
    os.environ.update(KEYS)
    s3: S3Process = request.getfixturevalue(kind)
    points = POINTS if kind == "versitygw" else {name: POINTS[name] for name in FEW}
    bucket = s3.new_bucket()
    options = [*s3.options(bucket), "--part-size=5MiB"]
    async with onward(tmp_path / "b", redis.url, options) as b:
        servers = {
            name: OnwardProcess(tmp_path / name, redis.url, options, program=(ASLEEP, point) if point else PROGRAM)
            for name, point in points.items()
        }
        try:
            checks = (check(name, server, b, http, points[name]) for name, server in servers.items())
            ids = await asyncio.gather(*checks)
        finally:
            for server in servers.values():
                if server.running:
                    await server.kill9()
        await b.kill9()
    assert await swept(s3, bucket, tmp_path / "b", redis.url) == set(ids)
    keys = s3.keys(bucket)
    left = {key for key in keys if not key.startswith((f"{PREFIX}records/", f"{PREFIX}store"))}
    assert left == {f"{PREFIX}files/{id_}" for id_ in ids}
    assert s3.multiparts(bucket) == []


class Node:
    """One of the nodes: its lives, each of which ends with a kill, at a point or at any moment."""

    def __init__(self, warm: Zygote, data: Path, config: dict[str, object], dice: random.Random) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}/files"
        self._warm, self._data, self._dice, self._config = warm, data, dice, config | {"port": port}
        self.struck = 0
        self.child: Child | None = None

    async def start(self, point: str = "", hit: int = 1) -> Child:
        """Start it."""
        self.child = await self._warm.fork(self._data, point=point, hit=hit, config=self._config, hasty=True)
        await self.child.port()
        return self.child

    async def live(self, kills: int) -> None:
        """Start it and kill it so often; at the end it lives."""
        for _ in range(kills):
            point = self._dice.choice((*COMMON, *RARE, "", "", "", ""))
            child = await self.start(point, self._dice.randint(1, 2))
            after = LONG if point else self._dice.uniform(0.0, SHORT)
            await asyncio.wait({child.ended}, timeout=after)
            self.struck += child.ended.done()
            await child.kill()
        await self.start()


class Sender:
    """Sends one upload to any of two nodes, until it is stored; no told offset may be taken back."""

    def __init__(self, http: aiohttp.ClientSession, nodes: Sequence[OnwardProcess | Node], dice: random.Random) -> None:
        self._http, self._nodes, self._dice = http, nodes, dice
        self.data = dice.randbytes(dice.choice(SIZES))
        self.id, self.told, self.done = "", 0, False

    def _url(self) -> str:
        return f"{self._dice.choice(self._nodes).url}/{self.id}"

    async def run(self) -> None:
        """Create, send and download."""
        while not self.id:
            with suppress(aiohttp.ClientError, AssertionError):
                url = await tus.create(self._http, self._dice.choice(self._nodes).url, len(self.data))
                self.id = url.rpartition("/")[2]
        while not self.done:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with asyncio.timeout(30):
                    await self._step()
            await asyncio.sleep(0.05)

    async def _step(self) -> None:
        answer = await tus.head(self._http, self._url())
        if answer.status in (423, 503):
            return
        assert answer.status == 200, answer.status
        at = int(answer.headers["Upload-Offset"])
        assert at >= self.told, f"{self.told} was told, and then {at}"
        self.told = at
        if at < len(self.data):
            body = self.data[at : at + self._dice.choice((100_000, 3 * MIB, SIZE))]
            answer = await tus.patch(self._http, self._url(), at, slowly(body), Content_Length=str(len(body)))
            if answer.status == 204:
                self.told = int(answer.headers["Upload-Offset"])
                assert self.told == at + len(body)
            return
        async with self._http.get(self._url()) as got:
            if got.status == 200:
                assert await got.read() == self.data, "other bytes"
                self.done = True


async def test_two_nodes_that_are_killed_and_a_redis_that_is_emptied_lose_nothing(
    tmp_path: Path, redis: RedisProcess, seaweedfs: S3Process, http: aiohttp.ClientSession,
    seed: int, pytestconfig: pytest.Config,
) -> None:  # fmt: skip
    os.environ.update(KEYS)
    dice, bucket, finished = random.Random(seed), seaweedfs.new_bucket(), list[Sender]()
    config: dict[str, object] = {
        "blobs": f"s3://{bucket}/{PREFIX}", "s3_endpoint": seaweedfs.endpoint, "s3_region": REGION,
        "part_size": 5 * MIB, "state": redis.url,
    }  # fmt: skip
    kills, began = pytestconfig.getoption("--s3-cycles") // 6, time.monotonic()
    async with zygote(tmp_path / "log-a") as warm_a, zygote(tmp_path / "log-b") as warm_b:
        nodes = [Node(warm, tmp_path / name, config, dice) for warm, name in ((warm_a, "a"), (warm_b, "b"))]
        killing = asyncio.gather(*(node.live(kills) for node in nodes))

        async def send_for_ever() -> None:
            while not killing.done():
                finished.append(Sender(http, nodes, dice))
                await finished[-1].run()

        async def flush_for_ever() -> None:
            while True:
                await asyncio.sleep(dice.uniform(2.0, 4.0))
                redis.flush()

        flushing = asyncio.create_task(flush_for_ever())
        sending = asyncio.gather(*(send_for_ever() for _ in range(SENDERS)))
        try:
            await asyncio.wait({killing, sending}, return_when=asyncio.FIRST_EXCEPTION)
            flushing.cancel()
            await killing
            await asyncio.wait_for(sending, 60)
        except BaseException:
            print(warm_a.log(), warm_b.log())
            raise
        finally:
            struck = sum(node.struck for node in nodes)
            took = time.monotonic() - began
            print(f"seed {seed}: {2 * kills} kills, {struck} at points, {len(finished)} uploads, {took:.1f} s")
            for task in (flushing, killing, sending):
                task.cancel()
            for node in nodes:
                if node.child is not None:
                    await node.child.kill()
    ids = {sender.id for sender in finished}
    assert await swept(seaweedfs, bucket, tmp_path / "a", redis.url) >= ids
    keys = seaweedfs.keys(bucket)
    left = {key for key in keys if not key.startswith((f"{PREFIX}records/", f"{PREFIX}store"))}
    assert left >= {f"{PREFIX}files/{id_}" for id_ in ids}
    assert all(key.startswith(f"{PREFIX}files/") for key in left), left
    assert seaweedfs.multiparts(bucket) == []
