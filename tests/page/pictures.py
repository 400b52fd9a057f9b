"""Write the README's pictures, docs/pictures/*.png, from the real page at work: python tests/page/pictures.py."""

import asyncio
import random
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from chromium import Tab, chromium
from onward_process import onward
from page_scene import UNDER_WAY, scene
from unreliable_proxy import RoughLine
from upload_page import upload_page

PICTURES = ROOT / "docs" / "pictures"
RATE = 5 * 2**20
LARGEST = 150_000
PAGE = {"width": 1000, "height": 1140}
WATCHING = {"width": 1000, "height": 350}
SHOWN = ("garden.jpg", UNDER_WAY, "lecture.mp4", "field-recordings.zip", "minutes.pdf")


async def take(tab: Tab, name: str, size: dict[str, int]) -> None:
    """Write what a tab shows, in light and dark colours."""
    for scheme in ("light", "dark"):
        await tab.look(width=size["width"], height=size["height"], scheme=scheme)
        await asyncio.sleep(0.5)
        picture = await tab.picture()
        assert len(picture) <= LARGEST, len(picture)
        (PICTURES / f"{name}-{scheme}.png").write_bytes(picture)


async def main(folder: Path) -> None:
    """Bring the page to its states, and take the pictures."""

    def write(name: str, size: int) -> Path:
        path = folder / name
        path.write_bytes(random.Random(name).randbytes(size))
        return path

    PICTURES.mkdir(exist_ok=True)
    with chromium(folder / "profile") as browser:
        async with (
            onward(folder / "data", "memory:") as server,
            RoughLine(server.port, rate=RATE).running() as proxy,
            scene(browser, f"http://127.0.0.1:{proxy.port}/", write) as page,
        ):
            await page.show_only(SHOWN)
            await page.until_stored(UNDER_WAY, 0.3)
            await take(page.tab, "page", PAGE)
            async with upload_page(browser, await page.copied_link(UNDER_WAY)) as watching:
                await take(watching.tab, "watching", WATCHING)


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(Path(folder)))
