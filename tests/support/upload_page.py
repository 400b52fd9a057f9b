"""The page as its users see it: opened, its rows by the names of their files, its buttons pressed."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from chromium import Tab, tab

ROWS = """[...document.querySelectorAll('#files > .row')].map((row) => ({
  name: row.querySelector('.name').textContent, state: row.dataset.state,
  status: row.querySelector('.status').textContent, figures: row.querySelector('.figures').textContent,
  stored: row.querySelector('progress').value, sha256: row.querySelector('.hash code').textContent,
  download: row.querySelector('.download:not([hidden])')?.href ?? null,
  buttons: [...row.querySelectorAll('[data-act]:not([hidden])')].map((act) => act.dataset.act),
}))"""
FLIPPING = """(() => {
  const send = XMLHttpRequest.prototype.send
  XMLHttpRequest.prototype.send = async function (body) {
    if (!body?.size || !globalThis.flipping) return send.call(this, body)
    const bytes = new Uint8Array(await body.arrayBuffer())
    bytes[bytes.length - 1] ^= 1
    send.call(this, new Blob([bytes]))
  }
})()"""


class UploadPage:
    """An open page."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab

    async def choose(self, *files: Path) -> None:
        """Choose files with the button of the page."""
        await self.tab.choose("#choose", *files)

    async def choose_again(self, file: Path) -> None:
        """Choose a file with the button of the first row that was left unfinished."""
        await self.tab.choose("[data-state=left] input", file)

    async def rows(self) -> list[dict[str, Any]]:
        """Give what the rows show."""
        rows: list[dict[str, Any]] = await self.tab.run(ROWS)
        return rows

    async def row(self, name: str) -> dict[str, Any]:
        """Give what the row of a file shows."""
        [row] = [row for row in await self.rows() if row["name"] == name]
        return row

    async def press(self, act: str, name: str) -> None:
        """Press a button of the row of a file."""
        await self.tab.run(f"{_row(name)}.querySelector('button[data-act={act}]:not([hidden])').click()")

    async def until(self, name: str, *states: str) -> dict[str, Any]:
        """Wait until the row of a file is in one of these states."""
        await self.tab.until(f"{json.dumps(states)}.includes({_row(name)}?.dataset.state)")
        return await self.row(name)

    async def until_stored(self, name: str, share: float) -> None:
        """Wait until that share of a file is stored."""
        await self.tab.until(f"{_row(name)}?.querySelector('progress').value >= {share}")

    async def flip(self, flipping: bool) -> None:
        """Have a bit of each body turned over on its way, or no more."""
        await self.tab.run(f"globalThis.flipping = {json.dumps(flipping)}")

    async def copied_link(self, name: str) -> str:
        """Give the link that the row of a file copies."""
        await self.tab.run("navigator.clipboard.writeText = async (text) => { globalThis.copied = text }")
        await self.press("copy", name)
        link: str = await self.tab.run("copied")
        return link

    async def show_only(self, names: Sequence[str]) -> None:
        """Show the rows of these files, in this order, and hide the others."""
        await self.tab.run("for (const row of document.querySelectorAll('#files > .row')) row.hidden = true")
        for name in names:
            await self.tab.run(f"{{ const row = {_row(name)}; row.hidden = false; row.parentNode.append(row) }}")

    async def reload(self) -> None:
        """Load it again."""
        await self.tab.reload()
        await self.ready()

    async def ready(self) -> None:
        """Wait until it is at work."""
        await self.tab.until("'ready' in document.documentElement.dataset")
        await self.tab.run(FLIPPING)


def _row(name: str) -> str:
    return f"[...document.querySelectorAll('#files > .row')].find((row) => row.querySelector('.name').textContent === {json.dumps(name)})"


@asynccontextmanager
async def upload_page(browser: str, url: str) -> AsyncIterator[UploadPage]:
    """Open the page in a tab of its own."""
    async with tab(browser) as opened:
        await opened.open(url)
        page = UploadPage(opened)
        await page.ready()
        yield page


@asynccontextmanager
async def page_under_way(browser: str, url: str, file: Path, share: float = 0.25) -> AsyncIterator[UploadPage]:
    """Open the page, and upload a file until that share of it is stored."""
    async with upload_page(browser, url) as page:
        await page.choose(file)
        await page.until_stored(file.name, share)
        yield page
