"""The page over HTTP: where it is, what it may load, and that it can be left out."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import pytest
import tus_requests as tus
from aiohttp import web
from onward_process import onward

from onward.server.app import create_app, create_runner
from onward.server.config import Config
from onward.server.page.page import STATIC

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "worker-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
FILES = sorted(filter(Path.is_file, STATIC.rglob("*")))
MOUNTS = [("", "/files"), ("", "/a/b"), ("", "/"), ("/uploads", "/files"), ("/uploads", "/")]


@pytest.fixture(params=MOUNTS, ids=str)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """The URLs of a page and of the uploads, under another application or none."""
    mount, base_path = request.param
    config = Config(data=str(tmp_path / "data"), state="memory:", base_path=base_path)
    app = create_app(config)
    if mount:
        inner, app = app, web.Application()
        app.add_subapp(mount, inner)
    runner = create_runner(app, config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        root = f"http://127.0.0.1:{runner.addresses[0][1]}{mount}"
        yield f"{root}/", f"{root}{config.prefix}"
    finally:
        await runner.cleanup()


async def test_the_page_finds_its_files_and_the_uploads(place: tuple[str, str], http: aiohttp.ClientSession) -> None:
    page, uploads = place
    async with http.get(page) as answer:
        assert (answer.status, answer.content_type, answer.charset) == (200, "text/html", "utf-8")
        html = await answer.text()
    for link in re.findall(r'(?:href|src)="([^"#]+)"', html):
        async with http.get(urljoin(page, link)) as answer:
            assert answer.status == 200, link
    [endpoint] = re.findall(r'data-endpoint="([^"]+)"', html)
    url = await tus.create(http, urljoin(page, endpoint), 3)
    assert url.startswith(uploads + "/")
    async with http.get(f"{url}/progress") as answer:
        assert (await answer.json())["status"] == "pending"


async def test_every_file_is_served_under_the_policy(place: tuple[str, str], http: aiohttp.ClientSession) -> None:
    page, _ = place
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
    for file in FILES:
        url = page if file.name == "index.html" else f"{page}page/{file.relative_to(STATIC).as_posix()}"
        async with http.get(url) as answer:
            headers, body = answer.headers, await answer.read()
            assert (answer.status, answer.content_type) == (200, types[file.suffix])
        assert dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; ")) == POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-cache"
        if file.name != "index.html":
            assert body == file.read_bytes()
        for known in (headers["ETag"], f"W/{headers['ETag']}", '"other", ' + headers["ETag"], "*"):
            async with http.get(url, headers={"If-None-Match": known}) as answer:
                assert (answer.status, await answer.read()) == (304, b"")
        for other in ('"other"', '"*"'):
            async with http.get(url, headers={"If-None-Match": other}) as answer:
                assert answer.status == 200
        async with http.head(url) as answer:
            assert (answer.status, answer.headers["ETag"]) == (200, headers["ETag"])


def test_nothing_comes_from_elsewhere_and_nothing_is_inline() -> None:
    for file in FILES:
        text = file.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|javascript:|\beval\(|new Function|innerHTML|\sstyle=|\son[a-z]+=\"", text), (
            file.name
        )


async def test_only_known_files_are_served(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with onward(tmp_path / "data", "memory:") as server:
        root = server.url.removesuffix("files")
        for path in ("page/", "page/nothing.js", "page/index.html", "page/..%2fpage.py", "page/../page.py"):
            async with http.get(root + path) as answer:
                assert (answer.status, answer.content_type) == (404, "application/problem+json"), path
        async with http.post(root) as answer:
            assert answer.status == 405


async def test_the_page_can_be_left_out(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with onward(tmp_path / "data", "memory:", ["--no-page"]) as server:
        for path in ("", "page/main.js"):
            async with http.get(server.url.removesuffix("files") + path) as answer:
                assert answer.status == 404
        await tus.create(http, server.url, 1)
