"""The page uploads: whole files, in spite of pauses, reloads, crashes and cuts; what is wrong is shown as failed."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from end_to_end_scenario import sha256_of
from midway_wait import HEADERS, offsets
from onward_process import OnwardProcess, onward
from unreliable_proxy import RoughLine
from upload_page import UploadPage, page_under_way, upload_page

SIZE = 50 * 10**6
LESS = 16 * 10**6
NAME = "large.bin"
DROP = """((name, text) => {
  const dataTransfer = new DataTransfer()
  dataTransfer.items.add(new File([text], name))
  document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }))
})"""
CHOOSE = """((name, text) => {
  const dataTransfer = new DataTransfer()
  dataTransfer.items.add(new File([text], name))
  const input = document.querySelector('#choose')
  input.files = dataTransfer.files
  input.dispatchEvent(new Event('change'))
})"""
Write = Callable[[str, int], Path]


def published(server: OnwardProcess) -> list[Path]:
    return sorted((server.data / "files").iterdir())


async def url_of(page: UploadPage, server: OnwardProcess, name: str = NAME) -> str:
    """Return the URL of an upload at the server itself."""
    return f"{server.url}/{(await page.copied_link(name)).rpartition('=')[2]}"


async def check(page: UploadPage, server: OnwardProcess, *files: Path) -> None:
    """Each row is verified, and each file is published as it is."""
    sums = {file.name: sha256_of(file) for file in files}
    for name, sha256 in sums.items():
        row = await page.until(name, "verified", "failed")
        assert (row["state"], row["sha256"]) == ("verified", sha256), row
        assert row["buttons"] == ["download", "copy", "remove"]
    assert sorted(map(sha256_of, published(server))) == sorted(sums.values())


async def test_a_file_is_uploaded_and_verified(
    browser: str, server: OnwardProcess, line: RoughLine, address: str, write: Write
) -> None:
    file = write(NAME, SIZE)
    async with upload_page(browser, address) as page:
        await page.choose(file)
        await check(page, server, file)
        assert line.taken <= SIZE + HEADERS
        await page.press("remove", NAME)
        assert await page.rows() == []
        await page.reload()
        assert await page.rows() == [], "nothing is left to do"
        assert page.tab.faults == []


async def test_no_request_is_larger_than_the_server_takes(browser: str, tmp_path: Path, write: Write) -> None:
    file = write(NAME, 2_000_000)
    async with (
        onward(tmp_path / "limited", "sqlite:", ["--max-request=300KB"]) as server,
        upload_page(browser, server.url.removesuffix("files")) as page,
    ):
        await page.choose(file)
        await check(page, server, file)
        assert page.tab.faults == []


async def test_a_paused_upload_sends_only_the_rest(
    browser: str, server: OnwardProcess, line: RoughLine, address: str, http: aiohttp.ClientSession, write: Write
) -> None:
    file = write(NAME, SIZE)
    async with page_under_way(browser, address, file) as page:
        await page.press("pause", NAME)
        assert (await page.until(NAME, "paused"))["buttons"] == ["resume", "cancel", "copy"]
        url = await url_of(page, server)
        begin, before = await offsets(http, [url], line), line.taken
        assert 0 < begin < SIZE
        await page.press("resume", NAME)
        await check(page, server, file)
        assert SIZE - begin <= line.taken - before <= SIZE - begin + HEADERS
        assert page.tab.faults == []


async def test_a_reloaded_page_sends_only_the_rest(
    browser: str, server: OnwardProcess, line: RoughLine, address: str, http: aiohttp.ClientSession, write: Write
) -> None:
    file, other = write(NAME, SIZE), write("other.bin", 1000)
    async with page_under_way(browser, address, file) as page:
        url = await url_of(page, server)
        await page.reload()
        row = await page.row(NAME)
        assert (row["state"], row["buttons"]) == ("left", ["choose", "discard"])
        assert 0.25 <= row["stored"] < 1
        await page.choose_again(other)
        assert "another file" in (await page.row(NAME))["status"]
        begin, before = await offsets(http, [url], line), line.taken
        await page.choose_again(file)
        await check(page, server, file)
        assert SIZE - begin <= line.taken - before <= SIZE - begin + HEADERS
        assert page.tab.faults == []


async def test_a_crashed_page_goes_on_in_a_new_tab(
    browser: str, server: OnwardProcess, line: RoughLine, address: str, http: aiohttp.ClientSession, write: Write
) -> None:
    file = write(NAME, LESS)
    async with page_under_way(browser, address, file) as page:
        url = await url_of(page, server)
        await page.tab.crash()
    begin, before = await offsets(http, [url], line), line.taken
    async with upload_page(browser, address) as page:
        assert (await page.row(NAME))["state"] == "left"
        await page.choose(file)
        await check(page, server, file)
        assert LESS - begin <= line.taken - before <= LESS - begin + HEADERS
        assert page.tab.faults == []


async def test_a_cancelled_upload_is_gone(
    browser: str, server: OnwardProcess, address: str, http: aiohttp.ClientSession, write: Write
) -> None:
    file = write(NAME, LESS)
    async with page_under_way(browser, address, file) as page:
        url = await url_of(page, server)
        await page.press("cancel", NAME)
        await page.until(NAME, "cancelled")
        await page.tab.until(f"fetch('files/{url.rpartition('/')[2]}').then(({{ status }}) => status === 410)")
        assert published(server) == []
        assert list((server.data / "partial").iterdir()) == []
        await page.press("again", NAME)
        await check(page, server, file)
        assert all("410" in fault or "409" in fault for fault in page.tab.faults), page.tab.faults


async def test_two_files_go_at_once(browser: str, server: OnwardProcess, address: str, write: Write) -> None:
    files = [write("one.bin", LESS // 2), write("two.bin", LESS // 2), write("empty.bin", 0)]
    async with upload_page(browser, address) as page:
        await page.choose(*files)
        await page.tab.until("document.querySelectorAll('#files > [data-state=uploading]').length === 2")
        await check(page, server, *files)
        assert page.tab.faults == []


async def test_a_fourth_file_waits_for_its_turn(
    browser: str, server: OnwardProcess, address: str, write: Write
) -> None:
    files = [write(f"{number}.bin", LESS // 2) for number in range(4)]
    async with upload_page(browser, address) as page:
        await page.choose(*files)
        assert (await page.row("3.bin"))["state"] == "waiting"
        await page.press("pause", "0.bin")
        await page.until("3.bin", "uploading")
        await page.press("resume", "0.bin")
        await check(page, server, *files)
        assert page.tab.faults == []


@pytest.mark.parametrize("promised", [True, False], ids=["the-server-sees-it", "the-page-sees-it"])
async def test_a_wrong_sha256_is_shown_as_failed(
    browser: str, server: OnwardProcess, address: str, write: Write, promised: bool
) -> None:
    async with upload_page(browser, address) as page:
        if not promised:
            await page.tab.run(
                """(() => {
                  const set = XMLHttpRequest.prototype.setRequestHeader
                  XMLHttpRequest.prototype.setRequestHeader = function (name, value) {
                    if (name !== 'Repr-Digest') set.call(this, name, value)
                  }
                })()"""
            )
        await page.flip(True)
        file = write(NAME, 3 * 10**6)
        await page.choose(file)
        row = await page.until(NAME, "verified", "failed")
        assert (row["state"], row["sha256"], row["buttons"]) == ("failed", "", ["again", "remove"])
        assert "Checksum mismatch" in row["status"]
        assert "different bytes" in row["status"]
        assert ("discarded them" in row["status"]) is promised
        assert bool(published(server)) is not promised
        assert all("460" in fault for fault in page.tab.faults), page.tab.faults
        await page.flip(False)
        await page.press("again", NAME)
        assert (await page.until(NAME, "verified", "failed"))["sha256"] == sha256_of(file)
        assert sha256_of(file) in map(sha256_of, published(server))


@pytest.mark.parametrize("meanwhile", [False, True], ids=["under-way", "chosen-meanwhile"])
async def test_a_file_waits_for_a_server_that_was_killed(
    browser: str, server: OnwardProcess, address: str, write: Write, meanwhile: bool
) -> None:
    file = write(NAME, LESS)
    async with upload_page(browser, address) if meanwhile else page_under_way(browser, address, file) as page:
        await server.kill9()
        if meanwhile:
            await page.choose(file)
        assert "can’t be reached" in (await page.until(NAME, "retrying", "failed"))["status"]
        await server.start()
        await check(page, server, file)
        assert all("net::ERR_" in fault for fault in page.tab.faults), page.tab.faults


async def test_an_upload_goes_on_when_the_network_is_back(
    browser: str, server: OnwardProcess, address: str, write: Write
) -> None:
    file = write(NAME, LESS)
    async with page_under_way(browser, address, file) as page:
        await page.tab.offline(True)
        assert "offline" in (await page.until(NAME, "retrying"))["status"]
        await page.tab.offline(False)
        await check(page, server, file)
        assert all("net::ERR_" in fault for fault in page.tab.faults), page.tab.faults


async def test_a_file_that_was_changed_is_not_sent(
    browser: str, server: OnwardProcess, address: str, write: Write
) -> None:
    file = write(NAME, LESS)
    async with page_under_way(browser, address, file) as page:
        file.write_bytes(b"another")
        assert "can’t be read" in (await page.until(NAME, "failed", "verified"))["status"]
    assert published(server) == []


async def test_a_file_is_sent_by_one_tab_at_a_time(
    browser: str, server: OnwardProcess, address: str, write: Write
) -> None:
    file = write(NAME, LESS)
    async with upload_page(browser, address) as page, upload_page(browser, address) as other:
        await page.choose(file)
        await page.until(NAME, "uploading")
        await other.reload()
        assert await other.rows() == [], "it is not unfinished, it is under way"
        await other.choose(file)
        row = await other.until(NAME, "elsewhere", "failed", "verified")
        assert (row["state"], row["status"]) == ("elsewhere", "Waiting: another tab uploads it")
        await other.until_stored(NAME, 0.3)  # it shows what the other tab does
        await check(page, server, file)
        await check(other, server, file)
        assert page.tab.faults == []


async def test_dropped_files_are_uploaded_whatever_their_names(
    browser: str, server: OnwardProcess, address: str, http: aiohttp.ClientSession
) -> None:
    name = "Überraschung — 桜 <b>&amp;.txt"
    async with upload_page(browser, address) as page:
        await page.tab.run(f"{DROP}({json.dumps(name)}, 'dropped')")
        row = await page.until(name, "verified", "failed")
        assert row["sha256"] == hashlib.sha256(b"dropped").hexdigest()
        async with http.get(f"{await url_of(page, server, name)}/progress") as answer:
            assert (await answer.json())["fileName"] == name
        assert page.tab.faults == []


async def test_what_is_paused_at_once_stays_paused(
    browser: str, server: OnwardProcess, line: RoughLine, address: str
) -> None:
    async with upload_page(browser, address) as page:
        before = line.taken
        await page.tab.run(
            f"{CHOOSE}('some.bin', 'x'.repeat(1e6)); document.querySelector('#files [data-act=pause]').click()"
        )
        await page.tab.run("navigator.locks.request('any', () => {})")  # by then the page has been given its own
        await asyncio.sleep(1)
        assert (await page.row("some.bin"))["state"] == "paused"
        assert line.taken == before
        await page.press("resume", "some.bin")
        assert (await page.until("some.bin", "verified", "failed"))["state"] == "verified"
        assert page.tab.faults == []


async def test_what_the_server_has_lost_is_not_shown_as_verified(
    browser: str, server: OnwardProcess, address: str, http: aiohttp.ClientSession, write: Write
) -> None:
    file = write(NAME, 1000)
    async with upload_page(browser, address) as page:
        await page.choose(file)
        await page.until(NAME, "verified")
        async with http.delete(await url_of(page, server), headers={"Tus-Resumable": "1.0.0"}) as answer:
            assert answer.status == 204
        await page.choose(file)
        assert (await page.until(NAME, "failed"))["sha256"] == ""
        await page.press("again", NAME)
        await check(page, server, file)
