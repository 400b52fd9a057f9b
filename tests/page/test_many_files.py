"""Many files: they are added at once, small ones take one request each, and there are buttons and figures for all."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from onward_process import OnwardProcess
from unreliable_proxy import RoughLine
from upload_page import UploadPage, upload_page

OVERVIEW = "document.querySelector('#overview')"
COUNTS = f"{OVERVIEW}.querySelector('.counts').textContent"
ADD = """(async (count) => {
  const dataTransfer = new DataTransfer()
  for (let i = 0; i < count; i++) dataTransfer.items.add(new File([`file ${i}`], `${i}.txt`, { lastModified: i }))
  const input = document.querySelector('#choose')
  input.files = dataTransfer.files
  const began = performance.now()
  input.dispatchEvent(new Event('change'))
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))
  return performance.now() - began
})"""
MB = 10**6


@pytest.fixture
async def slow(server: OnwardProcess) -> AsyncIterator[str]:
    """Where the page is, at the end of a line on which large files don't come to their end."""
    async with RoughLine(server.port, rate=4 * MB).running() as proxy:
        yield f"http://127.0.0.1:{proxy.port}/"


def written(folder: Path, count: int, size: int) -> list[Path]:
    folder.mkdir()
    files = [folder / f"{number}.bin" for number in range(count)]
    for number, file in enumerate(files):
        file.write_bytes(number.to_bytes(4, "big") * (size // 4))
    return files


async def until_all(page: UploadPage, *states: str) -> None:
    wrong = "".join(f":not([data-state={state}])" for state in states)
    await page.tab.until(f"!document.querySelector('#files > .row{wrong}')")


async def press(page: UploadPage, act: str) -> None:
    await page.tab.until(f"{OVERVIEW}.querySelector('[data-act={act}]').checkVisibility()")
    await page.tab.run(f"{OVERVIEW}.querySelector('[data-act={act}]').click()")


async def test_small_files_take_one_request_each(browser: str, server: OnwardProcess) -> None:
    async with upload_page(browser, server.url.removesuffix("files")) as page:
        await page.tab.note_requests()
        await page.tab.run(f"{ADD}(80)")
        await page.tab.until("document.querySelectorAll('#files > [data-state=verified]').length === 80")
        await page.tab.until(f"{COUNTS} === '80 of 80 files done'")
        posts = [url for url, headers in page.tab.requests if url == server.url and "Upload-Length" in headers]
        assert len(posts) == 80
        assert len(list((server.data / "files").iterdir())) == 80
        assert await page.tab.run("document.querySelector('#files').classList.contains('many')")
        heights = await page.tab.run("document.querySelector('#files > .row').getBoundingClientRect().height")
        assert heights < 60, "one line each"
        unrendered = await page.tab.run(
            "[...document.querySelectorAll('#files > .row')].filter((row) => !row.querySelector('.bar')).length"
        )
        assert unrendered > 20, "only rows near the part in sight have bars and buttons"
        await page.tab.run("document.querySelector('#files > .row:last-child').scrollIntoView()")
        await page.tab.until("Boolean(document.querySelector('#files > .row:last-child .bar'))")
        assert page.tab.faults == []


async def test_two_thousand_files_are_added_at_once(browser: str, server: OnwardProcess) -> None:
    async with upload_page(browser, server.url.removesuffix("files")) as page:
        times = [await page.tab.run(f"{ADD}(2000)")]
        assert await page.tab.run("document.querySelectorAll('#files > .row').length") == 2000
        await press(page, "cancelAll")
        await press(page, "clearFinished")
        await page.tab.until("document.querySelectorAll('#files > .row').length === 0")
        times.append(await page.tab.run(f"{ADD}(2000)"))
        assert min(times) < 1000, times
        await press(page, "cancelAll")
        assert page.tab.faults == [] or all("4" in fault for fault in page.tab.faults)


async def test_a_lost_answer_makes_no_second_upload(browser: str, server: OnwardProcess) -> None:
    async with upload_page(browser, server.url.removesuffix("files")) as page:
        await page.tab.run(
            """(() => {
              const send = XMLHttpRequest.prototype.send
              let isLost = false
              XMLHttpRequest.prototype.send = function (body) {
                if (!isLost) this.onload = this.onerror
                isLost = true
                send.call(this, body)
              }
            })()"""
        )
        await page.tab.run(f"{ADD}(1)")
        await page.until("0.txt", "verified")
        assert len(list((server.data / "files").iterdir())) == 1


async def test_buttons_for_all(browser: str, server: OnwardProcess, slow: str, tmp_path: Path) -> None:
    files = written(tmp_path / "source", 5, 2 * MB)
    async with upload_page(browser, slow) as page:
        await page.choose(*files)
        await page.tab.until("document.title.includes('of 5')")
        assert await page.tab.run("document.title.includes('%')")
        await press(page, "pauseAll")
        await until_all(page, "paused", "verified")
        await page.tab.until(f"{OVERVIEW}.querySelector('[data-act=resumeAll]').checkVisibility()")
        await page.tab.run("document.querySelector('#files > .row').scrollIntoView()")
        assert await page.tab.run(f"{OVERVIEW}.getBoundingClientRect().top") >= 0, "it stays in sight"
        await press(page, "cancelAll")
        await until_all(page, "cancelled", "verified")
        await press(page, "clearFinished")
        await page.tab.until(f"{OVERVIEW}.hidden")
        assert await page.rows() == []
        await page.choose(*files[:2])
        await press(page, "pauseAll")
        await press(page, "resumeAll")
        await until_all(page, "verified")
        await page.tab.until(f"{COUNTS} === '2 of 2 files done'")
        await page.tab.until("document.title === 'Onward: upload and watch'")
        await page.tab.until("document.querySelector('#said').textContent === 'All 2 files are uploaded'")
        assert len(list((server.data / "files").iterdir())) >= 2


async def test_retry_all_begins_what_has_failed_again(browser: str, server: OnwardProcess, tmp_path: Path) -> None:
    files = written(tmp_path / "source", 3, 1000)
    async with upload_page(browser, server.url.removesuffix("files")) as page:
        await page.tab.run("globalThis.flipping = true")
        await page.tab.run(
            """(() => {
              const send = XMLHttpRequest.prototype.send
              XMLHttpRequest.prototype.send = function (body) {
                if (body?.length && flipping) { body = body.slice(); body[0] ^= 1 }
                send.call(this, body)
              }
            })()"""
        )
        await page.choose(*files)
        await until_all(page, "failed")
        await page.tab.until(f"{OVERVIEW}.innerText.includes('3 failed')")
        await page.tab.run("globalThis.flipping = false")
        await press(page, "retryAll")
        await until_all(page, "verified")
        await asyncio.sleep(0)
        assert len(list((server.data / "files").iterdir())) == 3
