"""What every suite may use: a Redis for the session, both states, and a client."""

from collections.abc import AsyncIterator, Iterator
from typing import Literal

import aiohttp
import pytest
from redis_process import RedisProcess, redis_server


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """A real Redis, one for the session."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_process: RedisProcess) -> str:
    """The URL of an empty Redis."""
    redis_process.flush()
    return redis_process.url


@pytest.fixture(params=["sqlite", "redis"])
def state_url(request: pytest.FixtureRequest) -> str:
    """The URL of either state."""
    kind: Literal["sqlite", "redis"] = request.param
    return "sqlite:" if kind == "sqlite" else str(request.getfixturevalue("redis_url"))


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client; every request opens a connection of its own."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session
