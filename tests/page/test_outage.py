"""The page while the state of the server is away for a moment: it waits, and resumes the same upload."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from end_to_end_scenario import sha256_of
from onward_process import onward
from redis_process import RedisProcess, redis_server
from unreliable_proxy import RoughLine
from upload_page import page_under_way

RATE = 12 * 2**20  # bytes a second
SIZE = 16 * 10**6
NAME = "large.bin"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as server:
        yield server


@pytest.mark.parametrize("reloaded", [False, True], ids=["under-way", "reloaded"])
async def test_an_upload_goes_on_when_the_state_of_the_server_is_back(
    browser: str, redis: RedisProcess, write: Callable[[str, int], Path], tmp_path: Path, reloaded: bool
) -> None:
    file = write(NAME, SIZE)
    async with (
        onward(tmp_path / "data", redis.url, ["--lease-wait=0.2"]) as server,
        RoughLine(server.port, rate=RATE).running() as line,
        page_under_way(browser, f"http://127.0.0.1:{line.port}/", file) as page,
    ):
        redis.stop()
        if reloaded:
            await page.reload()
            await page.choose_again(file)
        await page.until(NAME, "retrying", "failed")
        await page.tab.until("document.body.innerText.includes('The server asks to wait')")
        redis.start()
        row = await page.until(NAME, "verified", "failed")
        assert (row["state"], row["sha256"]) == ("verified", sha256_of(file)), row
        assert [sha256_of(path) for path in (server.data / "files").iterdir()] == [sha256_of(file)]
        assert list((server.data / "partial").iterdir()) == [], "no other upload was begun"
