"""A browser for each file of tests, a server, and a slow line to it that leaves time to act in the middle."""

import random
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from chromium import chromium
from onward_process import OnwardProcess, onward
from unreliable_proxy import RoughLine

RATE = 12 * 2**20  # bytes a second

Write = Callable[[str, int], Path]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a browser with an empty profile."""
    with chromium(tmp_path_factory.mktemp("browser") / "profile") as address:
        yield address


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files of random bytes."""
    folder = tmp_path / "source"
    folder.mkdir()

    def write_one(name: str, size: int) -> Path:
        path = folder / name
        path.write_bytes(random.Random(name).randbytes(size))
        return path

    return write_one


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[OnwardProcess]:
    """A server."""
    async with onward(tmp_path / "data", "sqlite:") as process:
        yield process


@pytest.fixture
async def line(server: OnwardProcess) -> AsyncIterator[RoughLine]:
    """A slow line to the server."""
    async with RoughLine(server.port, rate=RATE).running() as proxy:
        yield proxy


@pytest.fixture
def address(line: RoughLine) -> str:
    """Where the page is, at the end of the slow line."""
    return f"http://127.0.0.1:{line.port}/"
