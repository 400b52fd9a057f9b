"""`onward upload` while the state of the server is away, or its connection hangs: it waits, and resumes the upload."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
from client_process import end_of, started
from end_to_end_scenario import sha256_of
from onward_process import OnwardProcess, onward
from redis_process import RedisProcess, redis_server
from unreliable_proxy import RoughLine

RATE = 8 * 2**20  # bytes a second
SIZE = 16 * 2**20
LOOKS = 1000
Fault = Callable[[RedisProcess, RoughLine, OnwardProcess], Coroutine[None, None, None]]


async def until_logged(server: OnwardProcess, words: str) -> None:
    for _ in range(LOOKS):
        if words in server.log():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(server.log())


async def state_away(redis: RedisProcess, _: RoughLine, server: OnwardProcess) -> None:
    redis.stop()
    await until_logged(server, " 423 ")
    redis.start()


async def line_hangs(_: RedisProcess, line: RoughLine, server: OnwardProcess) -> None:
    line.stall()
    await until_logged(server, " 423 ")
    line.mend()


@pytest.mark.parametrize("fault", [state_away, line_hangs])
async def test_an_upload_goes_on_by_itself(fault: Fault, tmp_path: Path) -> None:
    file = tmp_path / "file.bin"
    file.write_bytes(random.Random(2029).randbytes(SIZE))
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as redis:
        async with (
            onward(tmp_path / "data", redis.url, ["--lease-wait=0.2", "--body-idle=1"]) as server,
            RoughLine(server.port, rate=RATE, passes_answers=True).running() as line,
            started(tmp_path, "upload", str(file), "--to", line.url, "--json") as sender,
        ):
            ending = asyncio.create_task(end_of(sender))
            for _ in range(LOOKS):
                if line.taken > SIZE // 4:
                    break
                await asyncio.sleep(0.02)
            await fault(redis, line, server)
            ended = await ending
            assert ended.code == 0, ended.err
            assert ended.told["verified"]
            assert "answers 423" in ended.err
            assert server.log().count("POST '/files'") == 1
            assert [sha256_of(path) for path in (server.data / "files").iterdir()] == [sha256_of(file)]
