"""A page that uploads with Uppy or tus-js-client, made by esbuild, and a server for it."""

import subprocess
from pathlib import Path

from aiohttp import web
from nodejs import INTEROP, MODULES, require

HTML = """<!doctype html><link rel="icon" href="data:,"><title>Upload</title><input type="file"><script src="/page.js"></script>"""


def bundle(folder: Path) -> Path:
    """Make the script of the page; skips where its packages can't be had."""
    require("@uppy/core", "@uppy/tus", "esbuild")
    script = folder / "page.js"
    words = ["--bundle", f"--outfile={script}", "--log-level=warning", str(INTEROP / "clients" / "uppy_page.js")]
    subprocess.run([MODULES / ".bin" / "esbuild", *words], check=True, timeout=60)
    return script


def page_app(script: Path) -> web.Application:
    """Build the application that serves the page."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=HTML, content_type="text/html")

    async def code(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(script)

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/page.js", code)])
    return app
