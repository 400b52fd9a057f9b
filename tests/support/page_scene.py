"""The page with rows in every state at once, for those who look at it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from upload_page import UploadPage, upload_page

MB = 10**6
UNDER_WAY = "backup-2026-11.tar"
ROWS = {
    "left": ("field-recordings.zip", 64 * MB),
    "failed": ("minutes.pdf", MB // 2),
    "verified": ("garden.jpg", 3 * MB + 412_345),
    "cancelled": ("draft.odt", 40 * MB),
    "paused": ("lecture.mp4", 90 * MB),
    "uploading": (UNDER_WAY, 120 * MB),
    "second": ("measurements.csv", 80 * MB),
    "third": ("a-name-that-is-too-long-for-one-line-on-a-telephone.final.docx", 70 * MB),
    "waiting": ("map.svg", 2 * MB),
}


@asynccontextmanager
async def scene(browser: str, address: str, write: Callable[[str, int], Path]) -> AsyncIterator[UploadPage]:
    """Open the page and bring it there; `left` and `uploading` are each under way in between."""
    files = {state: write(*named) for state, named in ROWS.items()}
    async with upload_page(browser, address) as page:
        await page.choose(files["left"])
        await page.until_stored(files["left"].name, 0.1)
        await page.reload()
        await page.flip(True)
        await page.choose(files["failed"])
        await page.until(files["failed"].name, "failed")
        await page.flip(False)
        await page.choose(files["verified"])
        await page.until(files["verified"].name, "verified")
        for state, act in (("cancelled", "cancel"), ("paused", "pause")):
            await page.choose(files[state])
            await page.until_stored(files[state].name, 0.02)
            await page.press(act, files[state].name)
        await page.choose(*(files[state] for state in ("uploading", "second", "third", "waiting")))
        await page.until_stored(UNDER_WAY, 0.04)
        yield page
