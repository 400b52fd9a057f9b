"""What passes within seconds ends no upload, and makes no client begin another one: tus-js-client and Uppy.

tus-js-client runs in Node over HTTP/1.1, and in Chromium over HTTP/2, which its Node part does not speak; Uppy runs in
Chromium. Both retry as they do by default. A line of its own stands before the server, or before nginx.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest
from chromium import chromium, tab
from end_to_end_scenario import sha256_of, talking
from midway_wait import LOOKS, until_stored
from nginx_process import nginx
from nodejs import node_words
from onward_process import OnwardProcess, onward
from pytest_aiohttp.plugin import AiohttpServer
from redis_process import redis_server
from tus_page import bundle, page_app
from unreliable_proxy import RoughLine

MIB = 2**20
SIZE = 6 * MIB + 12345
RATE = 4 * MIB  # a second, so that there is time for a fault in the middle
AWAY = 2.0  # seconds
WITHIN = 60
Options = dict[str, object]
End = dict[str, Any]
WAYS = ("direct", "http1", "http2")
BUFFERED = ("http1 buffered", "http2 buffered")
CLIENTS = ("tusjs", "uppy")
ALONE: Options = {}
CHUNKED: Options = {"chunkSize": 2 * MIB}
WITH_CREATION: Options = {"uploadDataDuringCreation": True}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def browser(script: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium(tmp_path_factory.mktemp("browser") / "profile", more=["--ignore-certificate-errors"]) as address:
        yield address


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "file.bin"
    path.write_bytes(random.Random(2028).randbytes(SIZE))
    return path


@pytest.fixture
async def origin(script: Path, aiohttp_server: AiohttpServer) -> str:
    """The origin that serves the page."""
    return f"http://127.0.0.1:{(await aiohttp_server(page_app(script))).port}"


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload under way: its URL past line and proxy, its server and line, and how it ends."""

    url: str
    server: OnwardProcess
    line: RoughLine
    end: "asyncio.Task[End]"

    @property
    def id(self) -> str:
        return self.url.rpartition("/")[2]


class Uploading(Protocol):
    """Start a server and a client that goes a way to it; gives the upload once some of it is stored."""

    def __call__(
        self, client: str, way: str, *serve: str, state: str = "sqlite:", options: Options = ALONE
    ) -> AbstractAsyncContextManager[Upload]: ...


@pytest.fixture
def uploading(
    browser: str, origin: str, http: aiohttp.ClientSession, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Uploading:
    @asynccontextmanager
    async def start(
        client: str, way: str, *serve: str, state: str = "sqlite:", options: Options = ALONE
    ) -> AsyncIterator[Upload]:
        words = [f"--cors-origins={origin}", "--trusted-proxies=127.0.0.1", *serve]
        async with onward(tmp_path / "data", state, words) as server, line_to(server, way) as (line, scheme):
            told = {"endpoint": f"{scheme}://127.0.0.1:{line.port}/files", **options}
            async with (in_node if client == "tusjs" and "http2" not in way else in_chromium)(client, told) as end:
                ending = asyncio.create_task(end)
                url = f"{server.url}/{await id_of(server)}"
                await until_stored(http, [url], SIZE // 4)
                yield Upload(url, server, line, ending)

    @asynccontextmanager
    async def line_to(server: OnwardProcess, way: str) -> AsyncIterator[tuple[RoughLine, str]]:
        if way == "direct":
            async with RoughLine(server.port, rate=RATE, passes_answers=True).running() as line:
                yield line, "http"
            return
        version, _, buffered = way.partition(" ")
        proxied = nginx(
            tmp_path / "nginx", server.port, http2=version == "http2",
            buffering="on" if buffered else "off", body_timeout=1 if buffered else 60,
        )  # fmt: skip
        with proxied as proxy:
            monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(proxy.certificate))
            async with RoughLine(proxy.port, rate=RATE, passes_answers=True).running() as line:
                yield line, "https"

    @asynccontextmanager
    async def in_node(_: str, options: Options) -> AsyncIterator[Coroutine[Any, Any, End]]:
        words = [*node_words("tusjs_recorded.js", "tus-js-client"), str(file), json.dumps(options)]
        async with talking(words) as sender:
            yield sender.told(WITHIN)

    @asynccontextmanager
    async def in_chromium(client: str, options: Options) -> AsyncIterator[Coroutine[Any, Any, End]]:
        async with tab(browser) as page:
            await page.open(origin)
            await page.choose("input", file)
            await page.run(f"page.{'start' if client == 'uppy' else 'startAlone'}({json.dumps(options)})")

            async def end() -> End:
                told: End = await page.run("page.end")
                return told | {"requests": await page.run("page.requests")}

            yield end()

    return start


async def id_of(server: OnwardProcess) -> str:
    """Give the id of the only upload, as soon as it has a byte."""
    for _ in range(LOOKS):
        for id_ in await asyncio.to_thread(server.kept.unfinished):
            return id_
        await asyncio.sleep(0.02)
    raise AssertionError("nothing is stored")


async def until(come: Callable[[], bool]) -> None:
    """Wait until something has come."""
    for _ in range(LOOKS):
        if come():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it does not come")


async def until_paused(http: aiohttp.ClientSession, url: str) -> None:
    """Wait until the server has ended the body."""
    for _ in range(LOOKS):
        async with http.get(f"{url}/progress") as answer:
            if (await answer.json())["status"] == "paused":
                return
        await asyncio.sleep(0.02)
    raise AssertionError("the body does not end")


async def check(upload: Upload, http: aiohttp.ClientSession, file: Path) -> list[tuple[str, int | None]]:
    """See one upload arrive whole, of which no acknowledged byte was sent again; gives the requests and their statuses."""
    end = await upload.end
    asked = [(request["method"], request["status"]) for request in end["requests"]]
    assert end["ok"], (end.get("message"), asked)
    assert asked.count(("POST", 201)) == 1, asked
    assert [method for method, _ in asked].count("POST") == 1, asked
    acknowledged = 0
    for request in end["requests"]:
        if request["method"] == "PATCH":
            assert int(request["at"]) == acknowledged, end["requests"]
        if request["status"] in (200, 201, 204) and request["told"] is not None:
            acknowledged = int(request["told"])
    assert acknowledged == SIZE
    assert upload.server.kept.files() == {upload.id}
    await until(lambda: not upload.server.kept.unfinished())
    assert upload.server.kept.sha256(upload.url) == sha256_of(file)
    async with http.get(f"{upload.url}/progress") as answer:
        told = await answer.json()
    assert (told["status"], told["sha256"]) == ("completed", sha256_of(file))
    return asked


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_line_that_hangs_and_comes_back_ends_no_upload(
    uploading: Uploading, http: aiohttp.ClientSession, file: Path, client: str, way: str
) -> None:
    async with uploading(client, way, "--body-idle=1") as upload:
        upload.line.stall()
        await until_paused(http, upload.url)
        upload.line.mend()
        asked = await check(upload, http, file)
    assert ("HEAD", 200) in asked


@pytest.mark.parametrize("way", BUFFERED)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_line_that_hangs_while_nginx_collects_a_body_ends_no_upload(
    uploading: Uploading, http: aiohttp.ClientSession, file: Path, tmp_path: Path, client: str, way: str
) -> None:
    async with uploading(client, way, options=CHUNKED) as upload:
        log, taken, ended = tmp_path / "nginx" / "error.log", upload.line.taken, upload.line.ended
        await until(lambda: upload.line.taken > taken + MIB)  # the next chunk is under way
        upload.line.stall()
        await until(lambda: upload.line.ended > ended or "timed out" in log.read_text())  # nginx gives up
        upload.line.mend()
        await check(upload, http, file)  # without a HEAD where Chromium sends the request again by itself


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_state_that_is_away_for_seconds_makes_no_client_begin_another_upload(
    uploading: Uploading, http: aiohttp.ClientSession, file: Path, tmp_path: Path, client: str, way: str
) -> None:
    (tmp_path / "redis").mkdir()
    with redis_server(tmp_path / "redis") as redis:
        async with uploading(client, way, state=redis.url) as upload:
            redis.stop()
            await asyncio.sleep(AWAY)
            redis.start()
            asked = await check(upload, http, file)
    assert ("PATCH", 503) in asked


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_server_that_is_started_again_makes_no_client_begin_another_upload(
    uploading: Uploading, http: aiohttp.ClientSession, file: Path, client: str, way: str
) -> None:
    async with uploading(client, way) as upload:
        await upload.server.stop()
        await asyncio.sleep(AWAY)
        await upload.server.start()
        asked = await check(upload, http, file)
    assert ("HEAD", 200) in asked


@pytest.mark.parametrize("way", ["direct", "http2"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_creation_whose_body_stalls_goes_on_with_what_was_taken(
    uploading: Uploading, http: aiohttp.ClientSession, file: Path, client: str, way: str
) -> None:
    async with uploading(client, way, "--body-idle=1", options=WITH_CREATION) as upload:
        upload.line.stall()
        await until_paused(http, upload.url)
        upload.line.mend()
        await check(upload, http, file)
