"""The page works wherever it is: under another application, beside uploads at `/`, and behind a proxy that rewrites."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from end_to_end_scenario import sha256_of
from upload_page import upload_page

from onward.server.app import create_app, create_runner
from onward.server.config import Config

Write = Callable[[str, int], Path]


async def _rewrite(_: web.Request, response: web.StreamResponse) -> None:
    """Tell URLs as a server does that knows nothing of the proxies before it."""
    if location := response.headers.get("Location"):
        response.headers["Location"] = f"http://inside.invalid/uploads/{location.rpartition('/')[2]}"


@pytest.fixture(params=["/", "/files"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a page under /uploads/."""
    config = Config(data=str(tmp_path / "data"), state="memory:", base_path=request.param)
    inner, outer = create_app(config), web.Application()
    inner.on_response_prepare.append(_rewrite)
    outer.add_subapp("/uploads", inner)
    runner = create_runner(outer, config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/uploads/"
    finally:
        await runner.cleanup()


async def test_it_uploads_and_watches(browser: str, place: str, write: Write, tmp_path: Path) -> None:
    file = write("some.bin", 3 * 10**6)
    async with upload_page(browser, place) as page:
        await page.choose(file)
        row = await page.until(file.name, "verified", "failed")
        assert row["sha256"] == sha256_of(file), row
        link = await page.copied_link(file.name)
        assert link.startswith(f"{place}#watch=")
        async with upload_page(browser, link) as watching:
            await watching.tab.until("document.querySelector('#watching').dataset.state === 'completed'")
            assert watching.tab.faults == []
        assert page.tab.faults == []
    assert sha256_of(tmp_path / "data" / "files" / link.rpartition("=")[2]) == sha256_of(file)
