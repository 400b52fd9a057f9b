"""Clients whose file waits for a scanner that is down: they wait, and end as the file ends."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from chromium import chromium
from clamd_process import EICAR, ClamdProcess, clamd_running
from client_process import end_of, resume_files, started
from end_to_end_scenario import sha256_of
from onward_process import OnwardProcess, onward
from upload_page import upload_page

SIZE = 3 * 2**20
NAMES = {"clean": b"", "infected": EICAR}
HELD = "is held for"


@pytest.fixture
def scanner(tmp_path: Path) -> Iterator[ClamdProcess]:
    """A scanner that is down at first."""
    with clamd_running(tmp_path / "clamd") as clamd:
        clamd.kill()
        yield clamd


@pytest.fixture
async def server(scanner: ClamdProcess, tmp_path: Path) -> AsyncIterator[OnwardProcess]:
    async with onward(tmp_path / "data", "sqlite:", [f"--clamd={scanner.unix}"]) as process:
        yield process


@pytest.fixture(params=NAMES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    path.write_bytes(bytes(SIZE) + NAMES[path.name])
    return path


async def until_held(server: OnwardProcess) -> None:
    async with asyncio.timeout(30):
        while HELD not in server.log():  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.05)
    assert server.kept.files() == set()


async def test_onward_upload_waits_for_the_scanner(
    server: OnwardProcess, scanner: ClamdProcess, file: Path, tmp_path: Path
) -> None:
    async with started(tmp_path, "upload", str(file), "--to", server.url) as command:
        await until_held(server)
        scanner.start()
        ended = await end_of(command)
    assert resume_files(tmp_path) == []
    if file.name == "clean":
        assert ended.code == 0
        assert server.kept.sha256(ended.out.strip()) == sha256_of(file)
    else:
        assert ended.code == 1
        assert "the server has refused it: The virus scanner refuses the file" in ended.err
        assert server.log().count("POST") == 1, "it was not sent again"


async def test_the_page_waits_for_the_scanner(
    server: OnwardProcess, scanner: ClamdProcess, file: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with chromium(tmp_path_factory.mktemp("browser") / "profile") as browser:
        async with upload_page(browser, server.url.replace("/files", "/")) as page:
            await page.choose(file)
            await until_held(server)
            assert (await page.until(file.name, "retrying", "starting"))["state"] != "failed"
            scanner.start()
            row = await page.until(file.name, "failed", "verified")
    if file.name == "clean":
        assert row["state"] == "verified"
    else:
        assert (row["state"], row["status"]) == ("failed", "Failed. The virus scanner refuses the file")
        assert server.log().count("POST") == 1, "it was not sent again"
