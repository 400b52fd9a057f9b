"""The page watches: live in another browser, to the final status, whatever happens to the line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from chromium import chromium
from end_to_end_scenario import sha256_of
from onward_process import OnwardProcess
from upload_page import UploadPage, page_under_way, upload_page

SIZE = 24 * 10**6
NAME = "large.bin"
STATE = "document.querySelector('#watching').dataset.state"
STORED = "document.querySelector('#watching progress').value"
Write = Callable[[str, int], Path]


async def text_of(page: UploadPage) -> str:
    """Return what is to be read in the view of one upload."""
    text: str = await page.tab.run("document.querySelector('#watching').innerText")
    return text


async def test_another_browser_watches_live(
    browser: str, server: OnwardProcess, address: str, write: Write, tmp_path: Path
) -> None:
    file = write(NAME, SIZE)
    with chromium(tmp_path / "elsewhere") as other:
        async with page_under_way(browser, address, file, 0.1) as page:
            async with upload_page(other, await page.copied_link(NAME)) as watching:
                for share in (0.2, 0.5, 0.7):
                    await watching.tab.until(f"{STORED} >= {share}")
                    assert await watching.tab.run(STORED) <= 1
                    assert "Live" in await text_of(watching)
                await watching.tab.until(f"{STATE} === 'completed'")
                text = await text_of(watching)
                assert NAME in text
                assert sha256_of(file) in text
                assert "100%" in text
                copy = "document.querySelector('#watching .download').href"
                assert (await watching.tab.run(copy)).startswith(f"{address}files/")
                assert watching.tab.faults == []
            await page.until(NAME, "verified")
            assert page.tab.faults == []


async def test_a_watcher_comes_back_when_the_server_was_killed(
    browser: str, server: OnwardProcess, address: str, write: Write
) -> None:
    file = write(NAME, SIZE)
    async with (
        page_under_way(browser, address, file, 0.1) as page,
        upload_page(browser, await page.copied_link(NAME)) as watching,
    ):
        await watching.tab.until(f"{STORED} > 0")
        await server.kill9()
        await watching.tab.until("document.querySelector('.line').dataset.line === 'lost'")
        await server.start()
        await watching.tab.until(f"{STATE} === 'completed'")


async def test_a_cancelled_and_an_unknown_upload_are_shown(
    browser: str, server: OnwardProcess, address: str, write: Write
) -> None:
    async with (
        page_under_way(browser, address, write(NAME, SIZE), 0.1) as page,
        upload_page(browser, await page.copied_link(NAME)) as watching,
    ):
        await page.press("pause", NAME)
        await watching.tab.until(f"{STATE} === 'paused'")
        await page.press("cancel", NAME)
        await watching.tab.until(f"{STATE} === 'terminated'")
        await watching.tab.run("location.hash = '#watch=' + '0'.repeat(32)")
        await watching.tab.until("document.querySelector('.line').dataset.line === 'unknown'")
        assert await watching.tab.run(STORED) == 0, "the bar is not that of the upload before"
        assert (
            await watching.tab.run("document.querySelector('#watching .bar').style.getPropertyValue('--sent')") == "0"
        )
        await watching.tab.run("document.querySelector('#watching a[href=\"#\"]').click()")
        await watching.tab.until("!document.querySelector('#uploading').hidden")
        assert all("404" in fault for fault in watching.tab.faults), watching.tab.faults


async def test_a_look_that_ends_late_says_nothing_about_another_upload(
    browser: str, server: OnwardProcess, address: str, write: Write
) -> None:
    async with upload_page(browser, address) as page:
        await page.choose(write(NAME, 1000))
        await page.until(NAME, "verified")
        link = await page.copied_link(NAME)
        await page.tab.run(
            """(() => {
              const real = fetch
              globalThis.fetch = async (...words) => {
                await new Promise((resolve) => { globalThis.answer = resolve })
                const answer = await real(...words)
                setTimeout(() => { globalThis.answered = true })
                return answer
              }
            })()"""
        )
        await page.tab.run("location.hash = '#watch=' + '0'.repeat(32)")
        await page.tab.until("'answer' in globalThis")
        await page.tab.run(f"location.hash = '#{link.partition('#')[2]}'")
        await page.tab.until(f"{STATE} === 'completed'")
        await page.tab.run("answer()")
        await page.tab.until("'answered' in globalThis")
        assert "does not know" not in await text_of(page)


@pytest.mark.parametrize("damaged", ["", "0123", "not-an-id", "%2F..%2F"])
async def test_a_damaged_link_says_that_there_is_no_such_upload(browser: str, address: str, damaged: str) -> None:
    async with upload_page(browser, f"{address}#watch={damaged}") as page:
        await page.tab.until("document.querySelector('.line').dataset.line === 'unknown'")
        assert "The server does not know this upload" in await text_of(page)
        assert await page.tab.run("document.querySelector('#uploading').hidden")
