"""What every suite may use: a Redis for the session, both states, a client, and servers."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import aiohttp
import pytest
from azurite_process import AzuriteProcess, run_azurite
from http_connection import Tus
from over_s3 import SERVER
from redis_kinds import Cluster, redis_cluster
from redis_process import RedisProcess, redis_server
from s3_process import S3Process
from seaweedfs_process import run_seaweedfs
from server_process import Server, Start, serving
from versitygw_process import run_versitygw

SLOW_FOLDERS = {"benchmarks", "faults", "interop", "page"}  # every test of these counts as slow


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the slow folders; slow files elsewhere mark themselves.

    What is in no folder comes first: it would come last, and the slow installation would be alone at the end.
    """
    tests = Path(__file__).parent
    items.sort(key=lambda item: item.path.parent != tests)
    for item in items:
        if item.path.relative_to(tests).parts[0] in SLOW_FOLDERS:
            item.add_marker("slow")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the random tests of faults run longer, and again."""
    parser.addoption("--cycles", type=int, default=1000, help="servers that test_kill.py kills")
    parser.addoption("--kills", type=int, default=3, help="kills of test_kill_quotas.py for each state")
    parser.addoption("--s3-cycles", type=int, default=300, help="servers over S3 that are killed")
    parser.addoption("--publish-cycles", type=int, default=12, help="servers that test_publish_kill.py kills")
    parser.addoption("--cuts", type=int, default=200, help="power cuts of test_power_cut.py")
    parser.addoption("--restarts", type=int, default=6, help="restarts of one of three servers, in turn")
    parser.addoption("--files-at-once", type=int, default=6, help="clients that upload during these restarts")
    parser.addoption("--seed", type=int, default=None, help="the seed of the tests of faults; another one each time")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Put the name of the server of the bucket into the names of tests that run over S3."""
    if SERVER in os.environ:
        metafunc.fixturenames.append("over_s3")
        metafunc.parametrize("over_s3", os.environ[SERVER].split()[:1])


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed that the dice of a test start from; it is printed with its figures."""
    given: int | None = request.config.getoption("--seed")
    return secrets.randbelow(10**6) if given is None else given


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


@pytest.fixture(scope="session")
def redis_cluster_of_three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real cluster of three primaries without replicas, one for the session."""
    with redis_cluster(tmp_path_factory.mktemp("cluster"), replicas=0) as cluster:
        yield cluster


@pytest.fixture
def cluster(redis_cluster_of_three: Cluster) -> Cluster:
    """A cluster of three primaries, all of them empty."""
    redis_cluster_of_three.flush()
    return redis_cluster_of_three


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Process]:
    """A real SeaweedFS, one for the session."""
    with run_seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Process]:
    """A real versitygw, one for the session."""
    with run_versitygw(tmp_path_factory.mktemp("versitygw")) as server:
        yield server


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzuriteProcess]:
    """A real Azurite, one for the session."""
    with run_azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


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


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server of a file, with the OPTIONS that the file names."""
    options = getattr(request.module, "OPTIONS", ())
    with serving(tmp_path_factory.mktemp("server") / "data", options) as running:
        yield running


@pytest.fixture
def tus(server: Server) -> Tus:
    """Requests to the server of a file."""
    return server.tus


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Further servers, as long as a test runs."""
    with ExitStack() as stack:
        count = 0

        def another(*options: str, files: str = "/files") -> Server:
            nonlocal count
            count += 1
            return stack.enter_context(serving(tmp_path / f"data{count}", options, files=files))

        yield another
