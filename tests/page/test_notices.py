"""What the page says about files that it does not take, for everybody to read; refusals are one sentence."""

import re
from collections.abc import Callable
from pathlib import Path

from chromium import Tab
from onward_process import OnwardProcess, onward
from upload_page import page_under_way, upload_page

NAME = "large.bin"
NOTICE = "document.querySelector('#notice')"
LINK = """(() => {
  const dataTransfer = new DataTransfer()
  dataTransfer.setData('text/uri-list', 'http://127.0.0.1/')
  document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }))
})()"""
Write = Callable[[str, int], Path]


async def seen(tab: Tab) -> str:
    """Return the notice that is to be seen, empty where there is none."""
    text: str = await tab.run(f"{NOTICE}.checkVisibility() ? {NOTICE}.innerText : ''")
    return text


async def test_a_file_that_is_in_the_list_already_is_named(browser: str, address: str, write: Write) -> None:
    file = write(NAME, 50 * 10**6)
    async with page_under_way(browser, address, file, 0.05) as page:
        await page.choose(file)
        await page.tab.until(f"{NOTICE}.textContent")
        assert await seen(page.tab) == f"“{NAME}” is in the list already."
        assert len(await page.rows()) == 1


async def test_a_drop_without_a_file_is_answered_with_a_sentence(browser: str, address: str) -> None:
    async with upload_page(browser, address) as page:
        await page.tab.run(LINK)
        await page.tab.until(f"{NOTICE}.textContent")
        assert await seen(page.tab) == "Only files and folders can be uploaded."


async def test_a_file_that_is_dropped_where_somebody_watches_is_seen(browser: str, address: str, write: Write) -> None:
    file = write(NAME, 1000)
    async with upload_page(browser, f"{address}#watch={'0' * 32}") as page:
        await page.tab.drop(file)
        await page.until(NAME, "verified")
        assert await page.tab.run("document.querySelector('#files .row').checkVisibility()")
        assert await page.tab.run("document.querySelector('#watching').hidden")


async def test_what_is_too_large_or_of_another_kind_is_said_before_it_is_sent(
    browser: str, write: Write, tmp_path: Path
) -> None:
    options = ["--max-size=1000000", "--types=image/*", "--types=application/pdf"]
    async with (
        onward(tmp_path / "small", "memory:", options) as server,
        upload_page(browser, page_of(server)) as page,
    ):
        allowed = await page.tab.run("document.querySelector('#allowed').innerText")
        assert allowed.replace("\u00a0", " ") == "At most 1.0 MB for each file. Allowed are pictures or PDF."
        await page.choose(write(NAME, 2_000_000), write("film.mp4", 1000))
        sentences = (await seen(page.tab)).replace("\u00a0", " ")
        assert f"“{NAME}” is too large. This server takes at most 1.0 MB." in sentences
        assert "“film.mp4” is video/mp4. Allowed are pictures or PDF." in sentences
        assert await page.rows() == []
        await page.tab.run("document.body.dataset.maxSize = ''")  # as if the page had not been told
        await page.choose(write(NAME, 2_000_000))
        assert (await page.until(NAME, "failed"))["status"] == "Failed. An upload may have 1 MB at most"


async def test_a_full_disk_is_one_sentence(browser: str, write: Write, tmp_path: Path) -> None:
    async with (
        onward(tmp_path / "full", "memory:", [f"--reserve={2**60}"]) as server,
        upload_page(browser, page_of(server)) as page,
    ):
        await page.choose(write(NAME, 1000))
        status = (await page.until(NAME, "retrying"))["status"]
        assert re.fullmatch(r"[^.:]*room[^.:]*\. Trying again in \d+\s(min|s).*", status), status


def page_of(server: OnwardProcess) -> str:
    return server.url.removesuffix("files")
