"""A browser that lets sites keep nothing: the page uploads all the same, as long as it is open."""

from collections.abc import Callable
from pathlib import Path

from chromium import chromium
from end_to_end_scenario import sha256_of
from upload_page import upload_page

NAME = "large.bin"
Write = Callable[[str, int], Path]


async def test_it_uploads_and_resumes(address: str, write: Write, tmp_path: Path) -> None:
    file = write(NAME, 16 * 10**6)
    with chromium(tmp_path / "profile", keeps_nothing=True) as browser:
        async with upload_page(browser, address) as page:
            assert await page.tab.run("navigator.locks.query().then(() => 'allowed', ({ name }) => name)") != "allowed"
            await page.choose(file)
            await page.until_stored(NAME, 0.1)
            await page.press("pause", NAME)
            await page.until(NAME, "paused")
            await page.press("resume", NAME)
            assert (await page.until(NAME, "verified", "failed"))["sha256"] == sha256_of(file)
            assert page.tab.faults == []
