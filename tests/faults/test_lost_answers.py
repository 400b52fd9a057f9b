"""Answers that are lost on their way to the client, and clients that leave while Redis is being asked."""

import asyncio
import json
import os
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from msgspec.structs import replace
from onward_process import onward
from redis_process import RedisProcess, redis_at
from test_state_contract import UPLOAD, ignore
from unreliable_proxy import CHUNK, RoughLine

from onward.protocol.model import Upload, UploadId
from onward.storage.base import Held
from onward.storage.state.redis.state import open_state

PIECE = 2**17
DELAY = 0.02  # seconds on the line to Redis, each way
UPLOADS, CALLS = 12, 7
PATIENCE = 0.8  # seconds that a client waits at most


class Swallowing(RoughLine):
    """A line that loses one answer, the one with the number `lost`, and the connection with it."""

    lost = heard = 0

    async def _back(self, up: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while data := await up.read(CHUNK):
            self.heard += 1
            if self.heard == self.lost:
                break
            await self._hand_on(data, client)
        raise ConnectionResetError


async def told(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """Ask for the progress message of an upload."""
    async with http.get(f"{url}/progress") as answer:
        message: dict[str, Any] = json.loads(await answer.read())
        return message


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
async def test_a_lost_answer_is_made_up_for_and_nothing_applied_twice(
    lost: int, http: aiohttp.ClientSession, state_url: str, tmp_path: Path
) -> None:
    data = os.urandom(3 * PIECE)
    async with onward(tmp_path / "data", state_url) as server, Swallowing(server.port).running() as line:
        line.lost, files = lost, line.url
        try:
            url = await tus.create(http, files, len(data))
        except aiohttp.ClientError:
            assert lost == 1
            url = await tus.create(http, files, len(data))
        straight = f"{server.url}/{url.rpartition('/')[2]}"
        for number, at in enumerate(range(0, len(data), PIECE), 2):
            piece = data[at : at + PIECE]
            try:
                answer = await tus.patch(http, url, at, piece)
            except aiohttp.ClientError:
                assert number == lost
                before = await told(http, straight)
                answer = await tus.patch(http, url, at, piece)
                assert answer.status == 409
                assert await told(http, straight) == before, "the second try has changed something"
            else:
                assert answer.status == 204
            assert answer.headers["Upload-Offset"] == str(at + PIECE)
        assert line.heard > lost
        head, again = await tus.head(http, url), await tus.patch(http, url, len(data), b"")
        assert (head.status, again.status) == (200, 204)
        assert head.headers["Upload-Offset"] == head.headers["Upload-Length"] == str(len(data))
        assert head.headers["Repr-Digest"] == again.headers["Repr-Digest"]
        assert (server.data / "files" / url.rpartition("/")[2]).read_bytes() == data
        assert len(list((server.data / "files").iterdir())) == 1


class Crowd:
    """Uploads that can be told apart by their length and metadata, and clients that leave at random moments."""

    def __init__(self, http: aiohttp.ClientSession, random: Random) -> None:
        self.urls: list[str] = []
        self.answers = self.left = 0
        self._http, self._random = http, random

    async def create(self, files: str) -> None:
        """Create them."""
        for number in range(UPLOADS):
            name = b64encode(f"upload {number}".encode()).decode()
            told = {"Upload-Metadata": f"filename {name}"}
            self.urls.append(await tus.create(self._http, files, 1000 + number, **told))

    async def look(self, number: int) -> bool:
        """Ask for the state of an upload; gives whether it was told."""
        head = await tus.head(self._http, self.urls[number])
        if head.status == 423:  # somebody else asks or sends
            return False
        assert head.status == 200
        self.answers += 1
        name = b64encode(f"upload {number}".encode()).decode()
        assert head.headers["Upload-Length"] == str(1000 + number)
        assert head.headers["Upload-Metadata"] == f"filename {name}"
        assert int(head.headers["Upload-Offset"]) in (0, number)
        return True

    async def send(self, number: int) -> None:
        """Send as many bytes as the number says."""
        answer = await tus.patch(self._http, self.urls[number], 0, bytes(number))
        assert answer.status in (204, 409, 423)
        if answer.status != 423:
            self.answers += 1
            assert int(answer.headers["Upload-Offset"]) == number

    async def watch(self, number: int) -> None:
        """Follow an upload."""
        async with self._http.ws_connect(f"{self.urls[number]}/progress") as ws:
            async for frame in ws:
                self.answers += 1
                message = json.loads(frame.data)
                assert (message["fileSize"], message["fileName"]) == (1000 + number, f"upload {number}")

    async def client(self, number: int) -> None:
        """Do one thing after the other, and wait for each for a while only."""
        calls: list[Callable[[int], Awaitable[object]]] = [self.look, self.send, self.watch]
        for _ in range(CALLS):
            try:
                await asyncio.wait_for(self._random.choice(calls)(number), self._random.random() * PATIENCE)
            except TimeoutError:
                self.left += 1


async def test_clients_that_leave_at_any_moment_mix_up_no_answers_of_redis(
    http: aiohttp.ClientSession, redis_process: RedisProcess, tmp_path: Path, seed: int
) -> None:
    redis_process.flush()
    crowd = Crowd(http, Random(seed))
    async with (
        RoughLine(redis_process.port).running() as line,
        onward(tmp_path / "data", redis_at(line.port)) as server,
    ):
        await crowd.create(server.url)
        line.delay = DELAY
        await asyncio.gather(*(crowd.client(number % UPLOADS) for number in range(2 * UPLOADS)))
        line.delay = 0
        print(f"seed {seed}: {crowd.left} clients left, {crowd.answers} answers came in time")
        assert crowd.left > UPLOADS
        assert crowd.answers > UPLOADS
        for number, url in enumerate(crowd.urls):
            async with asyncio.timeout(20):
                while not await crowd.look(number):
                    pass
            offset = await tus.offset(http, url)
            assert (await tus.patch(http, url, offset, bytes(1000 + number - offset))).status == 204
            assert (await told(http, url))["fileName"] == f"upload {number}"
        assert "Traceback" not in server.log()


async def test_calls_that_are_broken_off_mix_up_no_records_and_leave_no_lease(
    redis_process: RedisProcess, redis_url: str, seed: int
) -> None:
    random, loaded = Random(seed), 0
    records = [replace(UPLOAD, id=UploadId(f"{n:032x}"), length=1000 + n, metadata=f"n {n}") for n in range(UPLOADS)]
    async with RoughLine(redis_process.port).running() as line:
        state = await open_state(redis_at(line.port), Path())
        for record in records:
            await state.insert(record)
        line.delay = DELAY

        async def load(record: Upload) -> None:
            nonlocal loaded
            found = await state.load(record.id)
            assert (found.id, found.length, found.metadata) == (record.id, record.length, record.metadata)
            loaded += 1

        async def hold(record: Upload) -> None:
            with suppress(Held):
                async with state.hold(record.id, wait=1, on_rival=ignore):
                    await load(record)

        async def client(record: Upload) -> None:
            for _ in range(CALLS):
                with suppress(TimeoutError):
                    await asyncio.wait_for(random.choice([load, hold])(record), random.random() * 8 * DELAY)

        await asyncio.gather(*(client(record) for record in 3 * records))
        line.delay = 0
        print(f"seed {seed}: {loaded} records were loaded, of {3 * UPLOADS * CALLS}")
        assert 0 < loaded < 3 * UPLOADS * CALLS
        for record in records:
            async with state.hold(record.id, wait=0, on_rival=ignore):  # at once: nobody has left a lease behind
                await load(record)
        await state.close()
