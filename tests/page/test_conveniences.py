"""What makes the page easy to use: finished files stay, another try at once, a warning, paste, and small pictures."""

from collections.abc import Callable
from pathlib import Path

from end_to_end_scenario import sha256_of
from onward_process import OnwardProcess
from upload_page import UploadPage, page_under_way, upload_page

NAME = "some.bin"
PASTE = """(() => {
  const clipboardData = new DataTransfer()
  for (const text of ['one', 'other']) clipboardData.items.add(new File([text], 'image.png', { type: 'image/png', lastModified: Date.now() - (text === 'one' ? 5 : 0) }))
  dispatchEvent(new ClipboardEvent('paste', { clipboardData }))
})()"""
DRAW = """(async () => {
  const canvas = document.createElement('canvas')
  canvas.width = 300
  canvas.height = 200
  canvas.getContext('2d').fillRect(0, 0, 300, 200)
  const blob = await new Promise((resolve) => canvas.toBlob(resolve))
  const dataTransfer = new DataTransfer()
  dataTransfer.items.add(new File([blob], 'drawn.png', { type: 'image/png', lastModified: 1 }))
  dataTransfer.items.add(new File(['no picture'], 'broken.png', { type: 'image/png', lastModified: 1 }))
  const input = document.querySelector('#choose')
  input.files = dataTransfer.files
  input.dispatchEvent(new Event('change'))
})()"""
MESSAGE = """globalThis.EventSource = class {
  constructor() {
    setTimeout(() => this.onmessage({ data: '{"status": "uploading", "fileName": "a", "fileSize": 100, MORE'
      + '"uploadedBytes": 50, "progress": 50, "bytesPerSecond": 0, "etaSeconds": null, "sha256": null, "error": null}' }))
  }
  close() {}
}"""
Write = Callable[[str, int], Path]


def page_of(server: OnwardProcess) -> str:
    return server.url.removesuffix("files")


async def test_finished_files_stay_over_a_reload_with_their_links(
    browser: str, server: OnwardProcess, write: Write
) -> None:
    file, large = write(NAME, 1000), write("large.bin", 3 * 10**6)
    async with upload_page(browser, page_of(server)) as page:
        await page.choose(file, large)
        links = {name: (await page.until(name, "verified"))["download"] for name in (NAME, large.name)}
        await page.reload()
        for name, sent in ((NAME, file), (large.name, large)):
            row = await page.until(name, "kept")
            assert (row["download"], row["sha256"]) == (links[name], sha256_of(sent))
            assert row["status"].startswith("Uploaded on ")
        await page.choose(file)  # nothing is sent: the server has it
        assert (await page.until(NAME, "verified"))["sha256"] == sha256_of(file)
        assert len(list((server.data / "files").iterdir())) == 2
        await page.press("remove", NAME)
        await page.reload()
        assert [row["name"] for row in await page.rows()] == [large.name]
        assert page.tab.faults == []


async def test_only_the_last_finished_files_are_kept(browser: str, server: OnwardProcess, write: Write) -> None:
    async with upload_page(browser, page_of(server)) as page:
        await page.choose(*(write(f"{number}.bin", 10) for number in range(25)))
        await page.tab.until("document.querySelectorAll('#files > [data-state=verified]').length === 25")
        await page.reload()
        assert len(await page.tab.run("[...document.querySelectorAll('#files > .row')].map(String)")) == 20


async def test_try_now_ends_the_wait(browser: str, server: OnwardProcess, write: Write) -> None:
    async with upload_page(browser, page_of(server)) as page:
        await server.kill9()
        await page.tab.run("Math.random = () => 60")  # waits are long
        await page.choose(write(NAME, 1000))
        await page.until(NAME, "retrying")
        await server.start()
        await page.press("now", NAME)
        assert (await page.until(NAME, "verified", "failed"))["state"] == "verified"


async def test_leaving_is_warned_about_only_during_an_upload(browser: str, address: str, write: Write) -> None:
    async with page_under_way(browser, address, write(NAME, 40 * 10**6), 0.02) as page:
        await page.tab.click("h1")
        await page.reload()
        assert page.tab.dialogs == ["beforeunload"]
        await page.tab.click("h1")
        await page.reload()
        assert page.tab.dialogs == ["beforeunload"], "nothing is being uploaded"


async def test_pasted_files_are_uploaded(browser: str, server: OnwardProcess) -> None:
    async with upload_page(browser, page_of(server)) as page:
        await page.tab.run(PASTE)
        await page.tab.until("document.querySelectorAll('#files > [data-state=verified]').length === 2")
        assert len({row["name"] for row in await page.rows()}) == 2
        assert page.tab.faults == []


async def test_pictures_have_thumbnails_and_all_files_an_icon(browser: str, server: OnwardProcess) -> None:
    async with upload_page(browser, page_of(server)) as page:
        await page.tab.run(DRAW)
        await page.until("broken.png", "verified")
        await page.tab.until("Boolean(document.querySelector('#files canvas'))")
        icon, thumbnail = 'use[href="#kind-image"]', "canvas"
        shown = await page.tab.run(
            f"[...document.querySelectorAll('#files .picture')].map((one) => [one.querySelectorAll('{icon}').length, one.querySelectorAll('{thumbnail}').length])"
        )
        assert shown == [[0, 1], [1, 0]]
        assert page.tab.faults == []


async def test_received_bytes_are_the_lighter_part_of_a_watched_bar(browser: str, server: OnwardProcess) -> None:
    async with upload_page(browser, page_of(server)) as page:
        await paint(page, '"receivedBytes": 75,')
        assert await page.tab.run("document.querySelector('#watching .bar').style.getPropertyValue('--sent')") == "0.75"
        assert await page.tab.run("document.querySelector('#watching progress').value") == 0.5
        await paint(page, "")
        assert await page.tab.run("document.querySelector('#watching .bar').style.getPropertyValue('--sent')") == "0.5"


async def paint(page: UploadPage, more: str) -> None:
    """Have the page watch an upload that a server tells about with one message."""
    id_ = "1" * (32 + bool(more))
    await page.tab.run(MESSAGE.replace("MORE", more) + f"; location.hash = 'watch={id_}'; null")
    await page.tab.until("document.querySelector('#watched').textContent === 'a'")
    await page.tab.run("new Promise((done) => setTimeout(done, 50))")
