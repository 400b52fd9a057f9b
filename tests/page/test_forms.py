"""Forms as Chromium itself sends them, from a page of the server's own origin and of another one."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from chromium import Tab, tab
from onward_process import OnwardProcess, onward
from pytest_aiohttp.plugin import AiohttpServer

Write = Callable[[str, int], Path]
FORM = """
<form method="post" enctype="multipart/form-data" action="%s" accept-charset="utf-8">
  <input type="hidden" name="_charset_"><input name="title" value="Grüße &quot;an alle&quot;">
  <input type="file" name="many" id="many" multiple><input type="file" name="none">
  <textarea name="after">later</textarea><input type="submit" id="send">
</form>"""


async def submit(page: Tab, url: str, files: Sequence[Path]) -> dict[str, Any]:
    """Put a form into the page that is open, choose files, press its button, and read what is shown then."""
    await page.run(f"void (document.documentElement.innerHTML = {json.dumps(FORM % url)})")
    await page.choose("#many", *files)
    await page.run("void (window.before = true, document.querySelector('#send').click())")
    await page.until("!window.before && document.readyState === 'complete'")
    told: dict[str, Any] = json.loads(await page.run("document.body.innerText"))
    return told


async def test_a_form_of_the_own_origin_uploads_all_its_files(
    browser: str, server: OnwardProcess, write: Write
) -> None:
    files = [write('näme %22 "1";.bin', 3_000_000), write("empty", 0)]
    async with tab(browser) as page:
        await page.open(server.url.removesuffix("files") + "healthz")
        told = await submit(page, server.url, files)
    assert told["fields"] == {"title": 'Grüße "an alle"', "after": "later"}
    uploads = told["uploads"]
    assert [upload["fileName"] for upload in uploads] == ['näme " "1";.bin', "empty"]
    assert [upload["status"] for upload in uploads] == ["completed"] * 2
    assert [upload["sha256"] for upload in uploads] == [hashlib.sha256(each.read_bytes()).hexdigest() for each in files]


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_form_of_another_origin_is_taken_only_where_that_is_allowed(
    browser: str, aiohttp_server: AiohttpServer, tmp_path: Path, write: Write, allowed: bool
) -> None:
    async def empty(_: web.Request) -> web.Response:
        return web.Response(text='<!doctype html><link rel="icon" href="data:,">', content_type="text/html")

    app = web.Application()
    app.router.add_get("/", empty)
    origin = f"http://127.0.0.1:{(await aiohttp_server(app)).port}"
    async with onward(tmp_path / "data", "sqlite:", [f"--cors-origins={origin}"] if allowed else []) as server:
        async with tab(browser) as page:
            await page.open(origin)
            told = await submit(page, server.url, [write("a", 1000)])
        assert len(list((server.data / "files").iterdir())) == allowed
    assert told.get("code") == (None if allowed else "foreign-origin")
