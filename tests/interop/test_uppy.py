"""Uppy in Chromium, on a page of another origin: what it may do there, what it is told, and how it goes on."""

import base64
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from chromium import Tab, chromium, tab
from end_to_end_scenario import sha256_of
from midway_wait import HEADERS, offsets, until_stored
from onward_process import OnwardProcess, onward
from pytest_aiohttp.plugin import AiohttpServer
from tus_page import bundle, page_app
from unreliable_proxy import RoughLine

MIB = 2**20
SIZE = 8 * MIB + 12345
RATE = 4 * MIB  # a second, so that there is time to stop in the middle
KEPT_OUT = ("blocked by CORS policy", "looks like a network error", "net::ERR_FAILED")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def browser(script: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium(tmp_path_factory.mktemp("browser") / "profile") as address:
        yield address


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "file.bin"
    path.write_bytes(random.Random(2026).randbytes(SIZE))
    return path


@pytest.fixture
async def origin(script: Path, aiohttp_server: AiohttpServer) -> str:
    """The origin that serves the page."""
    return f"http://127.0.0.1:{(await aiohttp_server(page_app(script))).port}"


@pytest.fixture
async def server(origin: str, tmp_path: Path) -> AsyncIterator[OnwardProcess]:
    async with onward(tmp_path / "data", "sqlite:", [f"--cors-origins={origin}"]) as process:
        yield process


@asynccontextmanager
async def uploading(browser: str, origin: str, file: Path, endpoint: str, **options: object) -> AsyncIterator[Tab]:
    """Open the page, choose the file, and start."""
    async with tab(browser) as page:
        await page.open(origin)
        await page.choose("input", file)
        await page.run(f"page.start({json.dumps({'endpoint': endpoint, **options})})")
        yield page


async def end_of(page: Tab) -> dict[str, Any]:
    told: dict[str, Any] = await page.run("page.end")
    return told


async def url_of(page: Tab) -> str:
    """Give the URL of the upload as soon as Uppy knows it."""
    url: str = await page.run("page.url")
    return url


def check(server: OnwardProcess, file: Path, end: dict[str, Any]) -> None:
    """Uppy was told of the success, the URL and the digest; the file is there."""
    sha256 = sha256_of(file)
    assert end["ok"], end
    assert server.kept.sha256(end["url"]) == sha256
    assert end["digest"] == f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="whole"),
        pytest.param({"chunkSize": 2 * MIB}, id="chunked"),
        pytest.param({"parallelUploads": 4}, id="parallelUploads"),
        pytest.param({"uploadDataDuringCreation": True}, id="uploadDataDuringCreation"),
        pytest.param({"overridePatchMethod": True}, id="overridePatchMethod"),
        pytest.param({"addRequestId": True, "headers": {"Authorization": "Bearer of-a-proxy"}}, id="headers"),
    ],
)
async def test_a_file_arrives_whole(
    browser: str, origin: str, server: OnwardProcess, file: Path, options: dict[str, object]
) -> None:
    async with uploading(browser, origin, file, server.url, **options) as page:
        end = await end_of(page)
    check(server, file, end)
    assert end["url"].startswith(f"{server.url}/")
    assert page.faults == []


async def test_cookies_may_be_sent_along_where_that_is_configured(
    browser: str, origin: str, file: Path, tmp_path: Path
) -> None:
    options = [f"--cors-origins={origin}", "--cors-credentials"]
    async with (
        onward(tmp_path / "data", "sqlite:", options) as server,
        uploading(browser, origin, file, server.url, withCredentials=True) as page,
    ):
        check(server, file, await end_of(page))
    assert page.faults == []


async def test_a_page_watches_an_upload(browser: str, origin: str, server: OnwardProcess, file: Path) -> None:
    async with uploading(browser, origin, file, server.url) as page:
        end = await end_of(page)
        told = await page.run(f"page.watch({json.dumps(end['url'])})")
    assert (told["status"], told["uploadedBytes"], told["sha256"]) == ("completed", SIZE, sha256_of(file))
    assert page.faults == []


@pytest.mark.parametrize("origins", ["http://localhost:{port}", ""], ids=["another-host", "none"])
async def test_a_page_that_is_not_listed_uploads_nothing(
    browser: str, origin: str, file: Path, tmp_path: Path, origins: str
) -> None:
    async with (
        onward(
            tmp_path / "data", "sqlite:", [f"--cors-origins={origins.format(port=origin.rpartition(':')[2])}"]
        ) as server,
        uploading(browser, origin, file, server.url, retryDelays=[]) as page,
    ):
        end = await end_of(page)
        assert (end["ok"], end.get("status")) == (False, None), "the answer can't be read"
        assert server.kept.pieces() == []
    assert any("blocked by CORS policy" in fault for fault in page.faults)
    assert all(any(words in fault for words in KEPT_OUT) for fault in page.faults), page.faults


async def test_a_refusal_can_be_read(browser: str, origin: str, file: Path, tmp_path: Path) -> None:
    options = [f"--cors-origins={origin}", f"--max-size={MIB}"]
    async with (
        onward(tmp_path / "data", "sqlite:", options) as server,
        uploading(browser, origin, file, server.url) as page,
    ):
        end = await end_of(page)
    assert (end["ok"], end["status"], json.loads(end["body"])["code"]) == (False, 413, "too-large")
    assert "response code: 413" in end["message"]
    assert page.faults
    assert all("413" in fault for fault in page.faults), page.faults


async def test_a_paused_upload_sends_only_the_rest(
    browser: str, origin: str, server: OnwardProcess, http: aiohttp.ClientSession, file: Path
) -> None:
    async with (
        RoughLine(server.port, rate=RATE).running() as proxy,
        uploading(browser, origin, file, proxy.url) as page,
    ):
        url = await url_of(page)
        await until_stored(http, [url], SIZE // 4)
        await page.run("page.pause()")
        begin, before = await offsets(http, [url], proxy), proxy.taken
        await page.run("page.resume()")
        end = await end_of(page)
        assert SIZE - begin <= proxy.taken - before <= SIZE - begin + HEADERS
    assert end["url"] == url
    check(server, file, end)
    assert page.faults == []


async def test_a_page_that_was_closed_sends_only_the_rest(
    browser: str, origin: str, server: OnwardProcess, http: aiohttp.ClientSession, file: Path
) -> None:
    async with RoughLine(server.port, rate=RATE).running() as proxy:
        endpoint = proxy.url
        async with uploading(browser, origin, file, endpoint) as page:
            url = await url_of(page)
            await until_stored(http, [url], SIZE // 4)
        begin, before = await offsets(http, [url], proxy), proxy.taken
        async with uploading(browser, origin, file, endpoint) as page:
            end = await end_of(page)
        assert SIZE - begin <= proxy.taken - before <= SIZE - begin + HEADERS
    assert end["url"] == url
    check(server, file, end)
    assert page.faults == []


async def test_an_upload_goes_on_when_the_server_was_killed(
    browser: str, origin: str, server: OnwardProcess, http: aiohttp.ClientSession, file: Path
) -> None:
    async with (
        RoughLine(server.port, rate=RATE).running() as proxy,
        uploading(browser, origin, file, proxy.url) as page,
    ):
        url = await url_of(page)
        await until_stored(http, [url], SIZE // 4)
        await server.kill9()
        await server.start()
        end = await end_of(page)
    assert end["url"] == url
    check(server, file, end)
    assert all("net::ERR_" in fault for fault in page.faults), page.faults
