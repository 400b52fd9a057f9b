"""A Redis that is emptied while bytes arrive in a bucket, and between: no told offset becomes smaller, none is wrong."""

import asyncio
import os
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from forking_server import zygote
from redis_process import RedisProcess, redis_server
from s3_process import KEYS, REGION, S3Process
from s3_rounds import MIB, PREFIX
from test_s3_nodes import Node, Sender

pytestmark = pytest.mark.slow

UPLOADS = 8
AT_ONCE = 4


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server:
        yield server


async def watched(http: aiohttp.ClientSession, sender: Sender, node: Node) -> int:
    """Follow an upload to its end; gives how many messages came."""
    stored, count = 0, 0
    while not sender.done:
        with suppress(aiohttp.ClientError):  # before it has an id, and while Redis is filled again
            async with http.ws_connect(f"{node.url}/{sender.id}/progress") as ws:
                async for message in ws:
                    told = message.json()
                    assert told["uploadedBytes"] >= stored, f"{stored} was told, and then {told}"
                    assert told["receivedBytes"] >= told["uploadedBytes"]
                    stored, count = told["uploadedBytes"], count + 1
        await asyncio.sleep(0.05)
    return count


@pytest.mark.parametrize("name", ["versitygw", "seaweedfs"])
async def test_an_emptied_redis_takes_no_offset_back(
    tmp_path: Path,
    redis: RedisProcess,
    http: aiohttp.ClientSession,
    seed: int,
    request: pytest.FixtureRequest,
    name: str,
) -> None:
    server: S3Process = request.getfixturevalue(name)
    os.environ.update(KEYS)
    dice, bucket = random.Random(seed), server.new_bucket()
    config: dict[str, object] = {
        "blobs": f"s3://{bucket}/{PREFIX}", "s3_endpoint": server.endpoint, "s3_region": REGION,
        "part_size": 5 * MIB, "state": redis.url,
    }  # fmt: skip
    flushes, messages, left = 0, 0, UPLOADS
    async with zygote(tmp_path / "log") as warm:
        node = Node(warm, tmp_path / "a", config, dice)
        child = await node.start()

        async def send() -> None:
            nonlocal left, messages
            while left:
                left -= 1
                sender = Sender(http, [node], dice)
                sending = asyncio.create_task(sender.run())
                count, _ = await asyncio.gather(watched(http, sender, node), sending)
                messages += count

        sending = asyncio.gather(*(send() for _ in range(AT_ONCE)))
        try:
            async with asyncio.timeout(90):
                while not sending.done():
                    await asyncio.wait({sending}, timeout=dice.uniform(0.1, 0.5))
                    redis.flush()
                    flushes += 1
            await sending
        except BaseException:
            print(warm.log())
            raise
        finally:
            sending.cancel()
            print(f"{name}, seed {seed}: emptied {flushes} times, {messages} messages")
            await child.kill()
        assert "Traceback" not in warm.log(), warm.log()
    assert flushes >= 3
    assert messages > 2 * UPLOADS
