"""Clients whose file is refused for what it contains: they end with the reason, and send nothing again."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from chromium import chromium, tab
from clamd_process import EICAR, clamd_running
from client_process import resume_files, run
from end_to_end_scenario import sha256_of
from nodejs import INTEROP, node_words
from onward_process import OnwardProcess, onward
from pytest_aiohttp.plugin import AiohttpServer
from tus_page import bundle, page_app
from upload_page import upload_page

MIB = 2**20
SIZE = 12 * MIB
PATCH = re.compile("PATCH '/files/")
WITHIN = 60.0
REFUSED = {  # a page that pretends to be a picture, and a picture with a virus at its end: how they are refused
    "page.png": (415, "Files of the type text/html are not accepted; accepted are image/png"),
    "virus.png": (422, "The virus scanner found Test.Eicar.UNOFFICIAL in the file"),
}
CONTENTS = {
    "page.png": b"<!doctype html>" + bytes(SIZE),
    "virus.png": b"\x89PNG\r\n\x1a\n" + bytes(SIZE) + EICAR,
}


@pytest.fixture(params=REFUSED)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    path.write_bytes(CONTENTS[path.name])
    return path


@pytest.fixture(scope="module")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scanner."""
    with clamd_running(tmp_path_factory.mktemp("clamd")) as clamd:
        yield clamd.unix


@pytest.fixture
async def server(scanner: str, tmp_path: Path) -> AsyncIterator[OnwardProcess]:
    """A server that takes pictures without a virus."""
    options = ["--types=image/png", f"--clamd={scanner}", "--cors-origins=*"]
    async with onward(tmp_path / "data", "sqlite:", options) as process:
        yield process
        assert process.kept.files() == set()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium(tmp_path_factory.mktemp("browser") / "profile") as address:
        yield address


def check_nothing_was_sent_again(server: OnwardProcess, file: Path, requests: int) -> None:
    """Each of so many requests was needed for a file that is accepted; the early refusal takes only the first."""
    expected = 1 if file.name == "page.png" else requests
    assert len(PATCH.findall(server.log())) == expected, server.log()


@pytest.mark.parametrize(("client", "requests"), [("tusjs", 1), ("tuspy", 1), ("aiotus", SIZE // (4 * MIB) + 1)])
async def test_a_client_ends_with_the_reason(client: str, requests: int, server: OnwardProcess, file: Path) -> None:
    scripts = {"tuspy": "tuspy_plain.py", "aiotus": "aiotus_upload.py"}
    words = (
        node_words("tusjs_upload.js", "tus-js-client")
        if client == "tusjs"
        else [sys.executable, str(INTEROP / "clients" / scripts[client])]
    )
    process = await asyncio.create_subprocess_exec(
        *words, server.url, str(file), sha256_of(file), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), WITHIN)
    told = json.loads(out.decode().splitlines()[-1])
    assert told["ok"] is False
    status, reason = REFUSED[file.name]
    assert str(status) in told.get("error", err.decode())
    assert client == "aiotus" or reason in told["error"], "aiotus reads no body of an error"
    check_nothing_was_sent_again(server, file, requests)


@pytest.mark.parametrize("options", [(), ("--parallel=3",), ("--chunk-size=3M",)], ids=["whole", "parallel", "chunks"])
async def test_onward_upload_ends_with_the_reason(
    options: tuple[str, ...], server: OnwardProcess, file: Path, tmp_path: Path
) -> None:
    ended = await run(tmp_path, "upload", str(file), "--to", server.url, "--retry-for=20", *options)
    assert ended.code == 1
    assert REFUSED[file.name][1] in ended.err
    assert resume_files(tmp_path) == [], "the next command begins anew"
    if not options:
        check_nothing_was_sent_again(server, file, 2)


async def test_the_page_ends_with_the_reason(browser: str, server: OnwardProcess, file: Path) -> None:
    async with upload_page(browser, server.url.replace("/files", "/")) as page:
        await page.choose(file)
        row = await page.until(file.name, "failed", "verified")
    assert (row["state"], row["status"]) == ("failed", f"Failed. {REFUSED[file.name][1]}")
    if file.name == "page.png":
        check_nothing_was_sent_again(server, file, 1)


async def test_uppy_ends_with_the_reason(
    browser: str, server: OnwardProcess, file: Path, aiohttp_server: AiohttpServer, tmp_path: Path
) -> None:
    origin = f"http://127.0.0.1:{(await aiohttp_server(page_app(bundle(tmp_path)))).port}"
    async with tab(browser) as page:
        await page.open(origin)
        await page.choose("input", file)
        await page.run(f"page.start({json.dumps({'endpoint': server.url})})")
        end = await page.run("page.end")
    status, reason = REFUSED[file.name]
    assert (end["ok"], end["status"]) == (False, status)
    assert reason in json.loads(end["body"])["detail"]
    check_nothing_was_sent_again(server, file, 1)
