"""Servers over one Redis and one bucket, without a common disk: who was asleep past its lease changes nothing."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from onward_process import PROGRAM, ROOT, OnwardProcess, onward
from redis_process import RedisProcess, redis_server
from s3_process import KEYS, S3Process
from s3_rounds import MIB, PREFIX, swept

ASLEEP = str(ROOT / "tests" / "support" / "suspended_server.py")
SIZE = 12 * MIB
PIECE = SIZE // 16
SIZES = (100, 4 * MIB, 5 * MIB, 11 * MIB + 3)
REFUSED = {0, 409, 423, 503}
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


async def test_who_was_asleep_changes_no_bytes_in_a_bucket(
    tmp_path: Path, redis: RedisProcess, versitygw: S3Process, http: aiohttp.ClientSession
) -> None:
    os.environ.update(KEYS)
    bucket = versitygw.new_bucket()
    options = [*versitygw.options(bucket), "--part-size=5MiB"]
    async with onward(tmp_path / "b", redis.url, options) as b:
        servers = {
            name: OnwardProcess(tmp_path / name, redis.url, options, program=(ASLEEP, point) if point else PROGRAM)
            for name, point in POINTS.items()
        }
        try:
            checks = (check(name, server, b, http, POINTS[name]) for name, server in servers.items())
            ids = await asyncio.gather(*checks)
        finally:
            for server in servers.values():
                if server.running:
                    await server.kill9()
        await b.kill9()
    assert await swept(versitygw, bucket, tmp_path / "b", redis.url) == set(ids)
    keys = versitygw.keys(bucket)
    left = {key for key in keys if not key.startswith((f"{PREFIX}records/", f"{PREFIX}store"))}
    assert left == {f"{PREFIX}files/{id_}" for id_ in ids}
    assert versitygw.multiparts(bucket) == []


class Sender:
    """Sends one upload to any of two nodes, until it is stored; no told offset may be taken back."""

    def __init__(self, http: aiohttp.ClientSession, nodes: list[OnwardProcess], dice: random.Random) -> None:
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
    dice, bucket, finished = random.Random(seed), seaweedfs.new_bucket(), []
    options = [*seaweedfs.options(bucket), "--part-size=5MiB"]
    nodes = [OnwardProcess(tmp_path / name, redis.url, options) for name in "ab"]
    rounds = pytestconfig.getoption("--s3-cycles") // 8
    try:
        await asyncio.gather(*(node.start() for node in nodes))
        for number in range(rounds):
            senders = [Sender(http, nodes, dice) for _ in range(2)]
            sending = asyncio.gather(*(sender.run() for sender in senders))
            await asyncio.sleep(dice.uniform(0.1, 1.0))
            if number % 2:
                redis.flush()
            for node in dice.sample(nodes, dice.randint(0, 1) if number % 2 else 1):
                await node.kill9()
                await node.start()
            await asyncio.wait_for(sending, 90)
            finished += senders
    except BaseException:
        print(f"seed {seed}", nodes[0].log()[-3000:], nodes[1].log()[-3000:])
        raise
    finally:
        for node in nodes:
            if node.running:
                await node.kill9()
    ids = {sender.id for sender in finished}
    assert await swept(seaweedfs, bucket, tmp_path / "a", redis.url) >= ids
    keys = seaweedfs.keys(bucket)
    left = {key for key in keys if not key.startswith((f"{PREFIX}records/", f"{PREFIX}store"))}
    assert left >= {f"{PREFIX}files/{id_}" for id_ in ids}
    assert all(key.startswith(f"{PREFIX}files/") for key in left), left
    assert seaweedfs.multiparts(bucket) == []
