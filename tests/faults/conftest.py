"""What several tests of faults share."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from forking_server import Zygote, zygote

MEMORY = Path("/dev/shm")


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where there is one."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as path:
        yield Path(path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def warm_process(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Zygote]:
    """A process from which servers are forked; for tests on the loop of their module."""
    async with zygote(tmp_path_factory.mktemp("warm") / "log") as warm:
        yield warm


@pytest.fixture
def warm(warm_process: Zygote) -> Iterator[Zygote]:
    """The same; its servers must log no traceback."""
    yield warm_process
    assert "Traceback" not in warm_process.log(), warm_process.log()
