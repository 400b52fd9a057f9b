"""Everybody can use the page: axe-core finds nothing, keys do all, and 320 pixels are enough."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from chromium import Tab, tab
from nodejs import MODULES, require
from onward_process import OnwardProcess
from page_scene import ROWS, UNDER_WAY, scene
from unreliable_proxy import RoughLine
from upload_page import UploadPage, upload_page

LOOKS = [(width, scheme) for width in (1200, 360) for scheme in ("light", "dark")]
SLOW = 3 * 2**20
NAME = "large.bin"
STATES = {"left", "failed", "verified", "cancelled", "paused", "uploading", "waiting"}
WIDEST = "document.documentElement.scrollWidth"
FOCUSED = "document.activeElement.dataset.act ?? document.activeElement.id"
Write = Callable[[str, int], Path]


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core."""
    require("axe-core")
    return (MODULES / "axe-core" / "axe.min.js").read_text()


@pytest.fixture
async def slow(server: OnwardProcess) -> AsyncIterator[str]:
    """Where the page is, at the end of a line on which nothing comes to its end."""
    async with RoughLine(server.port, rate=SLOW).running() as proxy:
        yield f"http://127.0.0.1:{proxy.port}/"


async def violations(tab: Tab) -> list[str]:
    """Return what axe-core finds, in each size and colour."""
    found: list[str] = []
    for width, scheme in LOOKS:
        await tab.look(width=width, height=800, scheme=scheme)
        await tab.run("Promise.all(document.getAnimations().map((animation) => animation.finished)).then(() => null)")
        violations_found = json.loads(await tab.run("axe.run().then(({ violations }) => JSON.stringify(violations))"))
        found += [
            f"{width} {scheme}: {each['id']}: {[node['html'] for node in each['nodes']]}" for each in violations_found
        ]
    return found


async def check(page: UploadPage, axe: str) -> None:
    await page.tab.run(f"{axe};null")
    assert await violations(page.tab) == []
    await page.tab.look(width=320, height=800, scheme="light")
    assert await page.tab.run(WIDEST) <= 320


async def test_axe_finds_nothing_in_any_state(browser: str, slow: str, write: Write, axe: str) -> None:
    async with scene(browser, slow, write) as page:
        assert {row["state"] for row in await page.rows()} >= STATES
        await check(page, axe)
        await page.tab.offline(True)
        await page.until(UNDER_WAY, "retrying")
        await check(page, axe)
        assert len(await page.rows()) == len(ROWS)


async def test_axe_finds_nothing_in_a_long_list_from_right_to_left(
    browser: str, slow: str, write: Write, axe: str
) -> None:
    async with tab(browser) as opened:
        await opened.speak("ar")
        await opened.open(slow)
        page = UploadPage(opened)
        await page.ready()
        await page.choose(*(write(f"{number}.bin", (number % 4) * 10**6 + 1) for number in range(1, 17)))
        await page.tab.until("document.querySelectorAll('#files > [data-state=verified]').length >= 2")
        await check(page, axe)
        assert await page.tab.run("document.querySelector('#files').classList.contains('many')")
        assert await page.tab.run("document.documentElement.dir") == "rtl"
        left = "getBoundingClientRect().left"
        assert await page.tab.run(
            f"document.querySelector('#files .name').{left} > document.querySelector('#files .acts').{left}"
        )
        assert opened.faults == []


async def copy_bar(tab: Tab) -> None:
    """Put a copy in the place of a file's bar: the page goes on writing to its own one, and nothing changes the copy."""
    await tab.run("{ const own = document.querySelector('#files .bar'); own.replaceWith(own.cloneNode(true)) }")
    await drawn(tab)


async def drawn(tab: Tab) -> None:
    """Wait until the page has been drawn as it is now."""
    await tab.run("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(() => drawn(null))))")


async def test_nothing_moves_where_less_motion_is_wanted(browser: str, address: str, write: Write) -> None:
    async with upload_page(browser, address) as page:
        await page.tab.look(width=1000, height=800, scheme="light", still=True)
        await page.choose(write(NAME, 1000))
        await page.until(NAME, "verified")
        moving = (
            "[...document.querySelectorAll('*')].filter((one) => parseFloat(getComputedStyle(one).transitionDuration))"
        )
        assert await page.tab.run(f"{moving}.length") == 0
        await copy_bar(page.tab)
        await page.tab.run("document.querySelector('#files progress').value = 0")  # its inner part is no element
        at_once = await page.tab.picture("#files .bar")
        await asyncio.sleep(0.5)
        assert await page.tab.picture("#files .bar") == at_once


async def test_axe_finds_what_is_wrong(browser: str, address: str, axe: str) -> None:
    async with upload_page(browser, address) as page:
        await page.tab.run(f"{axe};null")
        assert await violations(page.tab) == []
        await page.tab.run("document.querySelector('label[for=choose]').remove()")
        assert len(await violations(page.tab)) >= len(LOOKS)


async def test_axe_finds_nothing_where_somebody_watches(browser: str, slow: str, write: Write, axe: str) -> None:
    async with upload_page(browser, slow) as page:
        await page.choose(write(NAME, 6 * 10**6))
        await page.until_stored(NAME, 0.1)
        async with upload_page(browser, await page.copied_link(NAME)) as watching:
            await check(watching, axe)
            await watching.tab.until("document.querySelector('#watching').dataset.state === 'completed'")
            await check(watching, axe)


async def test_bars_are_seen_in_forced_colours(browser: str, address: str, write: Write) -> None:
    async with upload_page(browser, address) as page:
        await page.choose(write(NAME, 1000))
        await page.until(NAME, "verified")
        await copy_bar(page.tab)
        for scheme in ("light", "dark"):
            await page.tab.look(width=1000, height=800, scheme=scheme, forced=True, still=True)
            assert await page.tab.run("matchMedia('(forced-colors: active)').matches")
            seen = set()
            for stored, sent in ((0, 0), (0, 0.5), (0.5, 0.5), (1, 1)):
                await page.tab.run(
                    f"{{ const bar = document.querySelector('#files .bar'); bar.firstElementChild.value = {stored};"
                    f"bar.style.setProperty('--sent', {sent}) }}"
                )
                await drawn(page.tab)
                seen.add(await page.tab.picture("#files .bar"))
            assert len(seen) == 4, "nothing, sent, stored and everything look different"


async def test_keys_are_enough(browser: str, slow: str, write: Write) -> None:
    async with upload_page(browser, slow) as page:
        await page.tab.press("Tab")
        assert await page.tab.run(FOCUSED) == "choose"
        await page.tab.press("Tab")
        assert await page.tab.run(FOCUSED) == "choose-folder"
        await page.choose(write(NAME, 40 * 10**6))
        await page.until_stored(NAME, 0.02)
        await page.tab.press("Tab")
        assert await page.tab.run(FOCUSED) == "pause"
        await page.tab.press("Enter")
        await page.until(NAME, "paused")
        assert await page.tab.run(FOCUSED) == "resume"
        assert await page.tab.run("document.querySelector('#said').textContent") == f"{NAME}: Paused"
        await page.tab.press("Enter")
        await page.until(NAME, "uploading")
        assert await page.tab.run(FOCUSED) == "pause"
        await page.tab.press("Tab")
        await page.tab.press("Enter")
        await page.until(NAME, "cancelled")
        assert await page.tab.run(FOCUSED) == "again"
        await page.tab.press("Tab")
        await page.tab.press("Enter")
        assert await page.tab.run(FOCUSED) == "choose"
        assert await page.rows() == []


async def test_a_screen_reader_hears_changes_and_no_progress(browser: str, slow: str, write: Write) -> None:
    async with upload_page(browser, slow) as page:
        await page.tab.run(
            "globalThis.said = []; new MutationObserver(() => said.push(document.querySelector('#said').textContent))"
            ".observe(document.querySelector('#said'), { childList: true }); null"
        )
        await page.choose(write(NAME, 6 * 10**6))
        await page.until(NAME, "verified")
        await asyncio.sleep(0)
        assert await page.tab.run("said") == [f"{NAME}: Verified: the server has exactly this file"]


async def test_copying_keeps_the_focus_where_there_is_no_clipboard(browser: str, address: str, write: Write) -> None:
    async with upload_page(browser, address) as page:
        await page.choose(write(NAME, 1000))
        await page.until(NAME, "verified")
        await page.tab.run("navigator.clipboard.writeText = async () => { throw new Error('not here') }")
        await page.tab.run("document.querySelector('#files [data-act=copy]').focus()")
        await page.tab.press("Enter")
        await page.tab.until("document.querySelector('#said').textContent.includes('copied')")
        assert await page.tab.run(FOCUSED) == "copy"
