"""Compare the page with Uppy's Dashboard, in the same browser, with the same server and files: python tests/page/beside_uppy.py.

With --pictures FOLDER it also writes there what both look like.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from chromium import Tab, chromium, tab
from nodejs import INTEROP, MODULES, require
from onward_process import onward
from upload_page import UploadPage

FEW, MANY, SIZE = 200, 2000, 100
ROUNDS = 3
WITHIN = 15.0  # seconds in which some of the many files are uploaded
PATIENCE = 60.0
POLL = 0.05
HTML = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css"><title>Uppy</title><div id="place"></div><script src="/page.js"></script>"""
LONG_TASKS = """globalThis.longest = 0; globalThis.began = 0
addEventListener('change', () => { began = performance.now() }, true)
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) longest = Math.max(longest, duration)
}).observe({ type: 'longtask' }); null"""
INPUTS = {"page": "#choose", "uppy": ".uppy-Dashboard-input"}
DONE = {"page": "document.querySelectorAll('#files > [data-state=verified]').length", "uppy": "done"}


def bundle(folder: Path) -> Path:
    """Make the script of Uppy's page."""
    require("@uppy/core", "@uppy/dashboard", "@uppy/tus", "esbuild")
    script = folder / "page.js"
    words = ["--bundle", "--minify", f"--outfile={script}", str(INTEROP / "clients" / "uppy_dashboard.js")]
    subprocess.run([MODULES / ".bin" / "esbuild", "--log-level=warning", *words], check=True)
    return script


@asynccontextmanager
async def uppy_page(script: Path) -> AsyncIterator[str]:
    """Serve Uppy's page, and give its origin."""
    app = web.Application()

    async def index(_: web.Request) -> web.Response:
        return web.Response(text=HTML, content_type="text/html")

    async def file(request: web.Request) -> web.FileResponse:
        style = MODULES / "@uppy" / "dashboard" / "dist" / "style.min.css"
        return web.FileResponse(script if request.path == "/page.js" else style)

    app.add_routes([web.get("/", index), web.get("/page.js", file), web.get("/style.css", file)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def opened(kind: str, browser: str, origin: str, folder: Path) -> AsyncIterator[Tab]:
    """Open one of the two pages, with a new server."""
    async with onward(folder, "sqlite:", [f"--cors-origins={origin}"]) as server, tab(browser) as page:
        if kind == "uppy":
            await page.open(origin)
            await page.run(f"begin({json.dumps(server.url)}); null")
        else:
            await page.open(server.url.removesuffix("files"))
            await UploadPage(page).ready()
        await page.run(LONG_TASKS)
        yield page


async def upload(kind: str, page: Tab, files: list[Path], within: float) -> tuple[float, float, int]:
    """Choose files; give the seconds until all are uploaded, the longest task in ms, and how many were uploaded in time."""
    began = time.monotonic()
    await page.choose(INPUTS[kind], *files)
    done = 0
    for _ in range(int(within / POLL)):
        await asyncio.sleep(POLL)
        done = await page.run(DONE[kind])
        if done == len(files) or time.monotonic() - began > within:
            break
    return time.monotonic() - began, await page.run("longest"), done


async def measure(folder: Path, pictures: Path | None) -> None:
    """Print the figures of both, measured in turns."""
    source = folder / "source"
    source.mkdir()
    files = [source / f"{number:04}.txt" for number in range(MANY)]
    for number, file in enumerate(files):
        file.write_bytes(f"{number:0{SIZE}}".encode())
    with chromium(folder / "profile") as browser:
        async with uppy_page(bundle(folder)) as origin:
            times: dict[str, list[float]] = {kind: [] for kind in INPUTS}
            for turn in range(ROUNDS):
                for kind in INPUTS:
                    async with opened(kind, browser, origin, folder / f"{kind}-{turn}") as page:
                        seconds, _, done = await upload(kind, page, files[:FEW], PATIENCE)
                        times[kind].append(seconds if done == FEW else float("inf"))
            for kind, taken in times.items():
                each = ", ".join(f"{seconds:.1f}" for seconds in taken)
                print(f"{FEW} x {SIZE} bytes, {kind}: {statistics.median(taken):.1f} s ({each})", flush=True)
            for kind in INPUTS:
                async with opened(kind, browser, origin, folder / f"{kind}-many") as page:
                    seconds, longest, done = await upload(kind, page, files, WITHIN)
                    print(f"{MANY} files, {kind}: {done} in {seconds:.1f} s, longest task {longest:.0f} ms", flush=True)
                    if pictures:
                        await look(kind, page, pictures)


async def look(kind: str, page: Tab, pictures: Path) -> None:
    """Write what a page looks like."""
    for width in (1000, 360):
        for scheme, forced in (("light", False), ("dark", False), ("light", True)):
            await page.look(width=width, height=800, scheme=scheme, forced=forced)
            await asyncio.sleep(0.5)
            name = f"{kind}-{width}-{'forced' if forced else scheme}.png"
            (pictures / name).write_bytes(await page.picture())


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--pictures", type=Path)
chosen = parser.parse_args().pictures
if chosen:
    chosen.mkdir(parents=True, exist_ok=True)
with tempfile.TemporaryDirectory() as name:
    asyncio.run(measure(Path(name), chosen))
