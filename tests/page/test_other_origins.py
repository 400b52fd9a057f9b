"""Pages of other origins: they upload only where that is allowed, and can't put the page into a frame."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import web
from chromium import tab
from onward_process import OnwardProcess, onward
from pytest_aiohttp.plugin import AiohttpServer

CREATE = """(async (url) => {
  const ways = [
    { headers: { 'Tus-Resumable': '1.0.0', 'Upload-Length': '3' } },
    { mode: 'no-cors', headers: { 'Content-Type': 'text/plain' }, body: 'abc' },
  ]
  const outcomes = []
  for (const way of ways) {
    try { outcomes.push((await fetch(url, { method: 'POST', ...way })).status) } catch { outcomes.push('refused') }
  }
  return outcomes
})"""


@pytest.fixture
async def origin(aiohttp_server: AiohttpServer) -> str:
    """Another origin, with a page that frames the one that `#` names."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(
            text='<!doctype html><link rel="icon" href="data:,"><title>Foreign</title>', content_type="text/html"
        )

    app = web.Application()
    app.router.add_get("/", page)
    return f"http://127.0.0.1:{(await aiohttp_server(app)).port}"


@pytest.fixture(params=[True, False], ids=["allowed", "not-allowed"])
async def case(
    request: pytest.FixtureRequest, origin: str, tmp_path: Path
) -> AsyncIterator[tuple[OnwardProcess, bool]]:
    """A server that allows the origin, or doesn't."""
    async with onward(tmp_path / "data", "sqlite:", [f"--cors-origins={origin}"] if request.param else []) as server:
        yield server, request.param


async def test_a_foreign_page_uploads_only_where_it_is_allowed(
    browser: str, origin: str, case: tuple[OnwardProcess, bool]
) -> None:
    server, allowed = case
    async with tab(browser) as page:
        await page.open(origin)
        outcomes = await page.run(f"{CREATE}({json.dumps(server.url)})")
    assert outcomes == [201 if allowed else "refused", 0]
    await server.kill9()
    with closing(sqlite3.connect(server.data / "state.sqlite")) as state:
        assert state.execute("SELECT count(*) FROM uploads").fetchone() == (int(allowed),)


async def test_a_foreign_page_frames_nothing(browser: str, origin: str, case: tuple[OnwardProcess, bool]) -> None:
    server, _ = case
    async with tab(browser) as page:
        await page.open(origin)
        words = json.dumps(server.url.removesuffix("files"))
        await page.run(
            f"new Promise((done) => {{ const frame = document.createElement('iframe'); frame.onload = done; "
            f"frame.src = {words}; document.body.append(frame) }}).then(() => null)"
        )
        await page.until("true")
        assert any("frame-ancestors" in fault for fault in page.faults), page.faults
