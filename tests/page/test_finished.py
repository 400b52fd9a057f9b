"""What the page shows of a finished file: the type that the server has recognised, and where to download it."""

from pathlib import Path

import aiohttp
import pytest
from kinds_of_files import FILES
from onward_process import OnwardProcess, onward
from upload_page import upload_page

PNG, PNG_TYPE = FILES["a.png"]
PUBLIC = "https://cdn.example/"
VIEW = "document.querySelector('#watching')"


async def test_a_finished_file_shows_its_type_and_can_be_downloaded(
    browser: str, server: OnwardProcess, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    file = tmp_path / "report.pdf"  # the name is not believed
    file.write_bytes(PNG)
    async with upload_page(browser, server.url.replace("/files", "/")) as page:
        await page.choose(file)
        await page.until(file.name, "verified")
        await page.tab.until(f"document.querySelector('.row .figures').textContent.includes({PNG_TYPE!r})")
        row = await page.row(file.name)
        async with http.get(row["download"]) as answer:
            assert await answer.read() == PNG
        link = await page.copied_link(file.name)
        assert page.tab.faults == []
    async with upload_page(browser, link) as watching:
        await watching.tab.until(f"{VIEW}.dataset.state === 'completed'")
        assert PNG_TYPE in await watching.tab.run(f"{VIEW}.querySelector('.figures').textContent")
        assert await watching.tab.run(f"{VIEW}.querySelector('.download').href") == row["download"]


async def test_a_file_without_a_known_type_shows_none(browser: str, server: OnwardProcess, tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(bytes(1000))
    async with upload_page(browser, server.url.replace("/files", "/")) as page:
        await page.choose(file)
        row = await page.until(file.name, "verified")
        assert row["download"].startswith(server.url)
        await page.tab.run("new Promise((done) => setTimeout(done, 500))")
        assert "·" not in (await page.row(file.name))["figures"]


@pytest.mark.parametrize("name", ["report.png", "100 % öl #1?.png"])
async def test_the_download_leads_to_the_public_url(browser: str, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(PNG)
    options = ["--layout={sha256:2}/{name}", f"--public-url={PUBLIC}{{path}}"]
    async with onward(tmp_path / "data", "sqlite:", options) as server:
        async with upload_page(browser, server.url.replace("/files", "/")) as page:
            await page.choose(file)
            await page.until(name, "verified")
            await page.tab.until(f"document.querySelector('.row .download').href.startsWith({PUBLIC!r})")
            url = (await page.row(name))["download"]
            link = await page.copied_link(name)
        async with upload_page(browser, link) as watching:
            await watching.tab.until(f"{VIEW}.dataset.state === 'completed'")
            assert await watching.tab.run(f"{VIEW}.querySelector('.download').href") == url
