"""Folders that are dropped or chosen: all their files are uploaded, with their paths; nothing vanishes silently."""

import base64
from pathlib import Path

import aiohttp
import pytest
from onward_process import OnwardProcess
from upload_page import UploadPage, upload_page

NOTICE = "document.querySelector('#notice').innerText"
TREE = {"photos/one.txt": b"one", "photos/sub/one.txt": b"the other", "photos/sub/Ü ber/two.txt": b"two"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files of the same name in folders below it, and an empty folder."""
    for path, content in TREE.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    (tmp_path / "photos" / "nothing").mkdir()
    return tmp_path / "photos"


async def uploaded(page: UploadPage, server: OnwardProcess, http: aiohttp.ClientSession) -> dict[str, bytes]:
    """Give the content of each uploaded file by the relativePath, or else the filename, of its metadata."""
    await page.tab.until("document.querySelectorAll('#files > :not([data-state=verified])').length === 0")
    found = {}
    for row in await page.rows():
        async with http.head(row["download"], headers={"Tus-Resumable": "1.0.0"}) as answer:
            pairs = dict(pair.split(" ") for pair in answer.headers["Upload-Metadata"].split(","))
        metadata = {key: base64.b64decode(value).decode() for key, value in pairs.items()}
        assert metadata.get("relativePath", metadata["filename"]).endswith(metadata["filename"])
        async with http.get(row["download"]) as answer:
            found[metadata.get("relativePath", metadata["filename"])] = await answer.read()
    assert len(list((server.data / "files").iterdir())) == len(found)
    return found


async def test_a_dropped_folder_is_uploaded_with_its_structure(
    browser: str, server: OnwardProcess, http: aiohttp.ClientSession, folder: Path
) -> None:
    beside = folder.with_name("beside.txt")
    beside.write_bytes(b"beside")
    async with upload_page(browser, server.url.removesuffix("files")) as page:
        await page.tab.drop(folder, beside)
        await page.tab.until("document.querySelectorAll('#files > .row').length === 4")
        assert await uploaded(page, server, http) == TREE | {"beside.txt": b"beside"}
        assert await page.tab.run(NOTICE) == "“photos/nothing” is an empty folder."
        assert "photos/sub/" in await page.tab.run("document.querySelector('#files').innerText")
        assert page.tab.faults == []


async def test_a_chosen_folder_is_uploaded_with_its_structure(
    browser: str, server: OnwardProcess, http: aiohttp.ClientSession, folder: Path
) -> None:
    async with upload_page(browser, server.url.removesuffix("files")) as page:
        await page.tab.choose("#choose-folder", folder)
        await page.tab.until("document.querySelectorAll('#files > .row').length === 3")
        assert await uploaded(page, server, http) == TREE
        assert page.tab.faults == []


async def test_more_than_a_batch_of_one_folder_is_taken(browser: str, server: OnwardProcess, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(130):  # browsers tell of 100 entries at a time
        (folder / f"{number}.txt").write_bytes(b"")
    async with upload_page(browser, server.url.removesuffix("files")) as page:
        await page.tab.drop(folder)
        await page.tab.until("document.querySelectorAll('#files > .row').length === 130")
