"""The page of a server that asks for tokens: it takes them from links, keeps them to itself, and says what they allow."""

import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from chromium import chromium, tab
from end_to_end_scenario import sha256_of
from midway_wait import HEADERS
from server_process import serving
from token_maker import OwnKey, signed
from unreliable_proxy import RoughLine
from upload_page import UploadPage, upload_page

SIZE = 16 * 10**6
NAME = "large.bin"
RATE = 12 * 2**20
HOUR = 3600.0
ALLOWED = "document.querySelector('#allowed').textContent"
NOTICE = "document.querySelector('#notice').textContent"
CHOICE_IS_SEEN = "document.querySelector('label[for=choose]').checkVisibility()"
FORGED = signed({"alg": "HS256"}, {"sub": "anna", "exp": 2**32}, bytes(32))
LINE = "document.querySelector('#watching .line').textContent"
STATE = "document.querySelector('#watching').dataset.state"
FOLLOW_LINK = """(() => {
  addEventListener('click', (event) => { globalThis.followed = event.target.href; event.preventDefault() }, { once: true })
  document.querySelector('#files .download').click()
  return followed
})()"""
KEPT = (
    "JSON.stringify([{ ...localStorage }, document.cookie, location.href, document.referrer, document.body.innerHTML])"
)
Write = Callable[[str, int], Path]


@dataclass(frozen=True, slots=True)
class Guarded:
    """A server that asks for tokens."""

    data: Path
    log: Path
    page: str

    def token(self, owner: str = "anna", scope: str | None = None, expires_in: float = HOUR, **own: object) -> str:
        """Give a token; `own` are the members of its claim `onward`."""
        times = {"exp": int(time.time() + expires_in), "jti": secrets.token_hex()}
        return OwnKey(self.data / "auth.key").token(owner, scope, onward=own, **times)

    def link(self, **own: object) -> str:
        """Give a link to the page."""
        return f"{self.page}#token={self.token(**own)}"  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server that asks for tokens, and logs as much as it can."""
    folder = tmp_path_factory.mktemp("guarded")
    log = folder / "log"
    with serving(folder / "data", ["--auth=key", "--log-level=debug"], log=log) as server:
        yield Guarded(server.data, log, server.url.removesuffix("files"))


@asynccontextmanager
async def opened(browser: str, link: str) -> AsyncIterator[UploadPage]:
    """Open the page in a tab that notes its requests."""
    async with tab(browser) as new:
        await new.note_requests()
        await new.open(link)
        page = UploadPage(new)
        await page.ready()
        yield page


async def failed(page: UploadPage, file: Path) -> str:
    """Choose a file, and return why it fails."""
    await page.choose(file)
    status: str = (await page.until(file.name, "failed", "verified"))["status"]
    return status


async def test_a_link_for_one_file_takes_one_and_leaves_no_trace(
    browser: str, guarded: Guarded, http: aiohttp.ClientSession, write: Write
) -> None:
    file = write("photo.png", 10**6)
    link = guarded.link(maxUploads=1, maxSize=2 * 10**6, types=["image/*", "application/octet-stream"])
    token = link.partition("=")[2]
    async with opened(browser, link) as page:
        assert await page.tab.run("location.href") == guarded.page
        words = (
            r"This link is for 1 file, until .+ 20\d\d, .+\. At most 2.0.MB for each file\. "
            r"Allowed are pictures or application/octet-stream\."
        )
        assert re.fullmatch(words, await page.tab.run(ALLOWED))
        await page.choose(write("large.png", 2 * 10**6 + 1))
        assert re.fullmatch("“large.png” is too large. This link allows at most 2.0.MB.", await page.tab.run(NOTICE))
        assert await page.rows() == []
        await page.choose(file)
        assert (await page.until(file.name, "verified", "failed"))["sha256"] == sha256_of(file)
        assert token not in await page.tab.run(KEPT)
        followed = await page.tab.run(FOLLOW_LINK)
        assert followed.endswith(f"?token={token}")
        async with http.get(followed) as answer:
            assert await answer.read() == file.read_bytes()
        await page.tab.until(f"!document.querySelector('#files .download').href.includes({token!r})")
        assert token not in await page.tab.run(KEPT)
        assert [address for address in await page.tab.addresses() if "token" in address] == []
        assert len(page.tab.requests) > 10
        assert [headers for _, headers in page.tab.requests if headers.get("Referer")] == []
        assert [url for url, _ in page.tab.requests if token in url.partition("#")[0]] == []
        assert sum(headers.get("Authorization") == f"Bearer {token}" for _, headers in page.tab.requests) >= 3
    log = guarded.log.read_text()
    assert "POST '/files' 201" in log
    assert token not in log
    assert token.rpartition(".")[2] not in log


async def test_a_link_that_is_used_up_says_so(browser: str, guarded: Guarded, write: Write) -> None:
    async with upload_page(browser, guarded.link(owner="carl", maxUploads=2)) as page:
        assert (await page.tab.run(ALLOWED)).startswith("This link is for 2 files, until ")
        for name in ("first.bin", "second.bin"):
            await page.choose(write(name, 1000))
            await page.until(name, "verified")
        assert await failed(page, write("third.bin", 1000)) == "Failed. This link is used up: it was for 2 files"
    async with upload_page(browser, guarded.link(owner="dora", quota=500)) as page:
        assert (await page.tab.run(ALLOWED)).endswith("All your files together may have 500\u00a0bytes.")
        status = "Failed. There is no room for this file. All uploads of this owner may have 500 bytes together"
        assert await failed(page, write(NAME, 501)) == status


async def test_what_was_begun_is_resumed_after_a_reload_and_with_a_new_link(
    browser: str, guarded: Guarded, write: Write
) -> None:
    file, other = write(NAME, SIZE), write("other.bin", SIZE)
    port = int(guarded.page.rpartition(":")[2].strip("/"))
    async with RoughLine(port, rate=RATE).running() as line:
        address = f"http://127.0.0.1:{line.port}/"
        async with upload_page(browser, f"{address}#token={guarded.token()}") as page:
            await page.choose(file)
            await page.until_stored(NAME, 0.3)
            await page.reload()
            assert (await page.until(NAME, "left"))["stored"] >= 0.3
            before = line.taken
            await page.choose_again(file)
            assert (await page.until(NAME, "verified", "failed"))["sha256"] == sha256_of(file)
            assert line.taken - before <= 0.7 * SIZE + HEADERS
            await page.choose(other)
            await page.until_stored(other.name, 0.3)
        async with upload_page(browser, f"{address}#token={guarded.token(owner='bert')}") as page:
            assert await page.rows() == [], "somebody else's"
            await page.tab.run(f"location.hash = 'token={guarded.token(expires_in=-3600)}'")
            await page.until(other.name, "left")
            await page.choose_again(other)
            assert "This link has expired" in (await page.until(other.name, "failed"))["status"]
            await page.tab.run(f"location.hash = 'token={guarded.token()}'")
            await page.tab.until(f"{ALLOWED}.startsWith('This link is for ')")
            assert await page.tab.run("location.href") == address
            before = line.taken
            await page.press("again", other.name)
            assert (await page.until(other.name, "verified", "failed"))["sha256"] == sha256_of(other)
            assert line.taken - before <= 0.7 * SIZE + HEADERS


async def test_an_upload_is_watched_with_the_token_of_the_tab(browser: str, guarded: Guarded, write: Write) -> None:
    async with upload_page(browser, guarded.link()) as page:
        await page.choose(write(NAME, 1000))
        await page.until(NAME, "verified")
        link = await page.copied_link(NAME)
        assert "token" not in link
        words = link.partition("#")[2]
        await page.tab.run(f"location.hash = {words!r}")
        await page.tab.until(f"{STATE} === 'completed'")
    denials = {
        "": "This server can be used only through a link. Open the link that you were given",
        f"&token={FORGED}": "This link is not valid here. Ask for a new one",
        f"&token={guarded.token(expires_in=-3600)}": "This link has expired. Ask for a new one",
        f"&token={guarded.token(scope='create append inspect')}": "This link does not allow that",
        f"&token={guarded.token(owner='bert')}": "The server does not know this upload, or has forgotten it",
    }
    for more, sentence in denials.items():
        async with upload_page(browser, link + more) as page:
            await page.tab.until(f"{LINE} === {sentence!r}")
            assert await page.tab.run("location.href") == link
    token = guarded.token(scope="watch")
    async with upload_page(browser, f"{link}&token={token}") as page:
        await page.tab.until(f"{STATE} === 'completed'")
        assert not await page.tab.run("document.querySelector('#watching .download').checkVisibility()")
    assert "token=" not in guarded.log.read_text()
    assert token not in guarded.log.read_text()


async def test_a_link_whose_claims_make_no_sense_is_damaged(browser: str, guarded: Guarded) -> None:
    senseless: list[dict[str, object]] = [
        {"sub": "anna"}, {"exp": "soon"}, {"exp": 1e18}, {"exp": 2**32, "onward": {"types": "image/*"}},
        {"exp": 2**32, "onward": {"types": [1]}},
    ]  # fmt: skip
    async with upload_page(browser, guarded.page) as page:
        for claims in senseless:
            await page.tab.run("document.querySelector('#allowed').textContent = ''")
            await page.tab.run(f"location.hash = 'token={signed({'alg': 'HS256'}, claims, bytes(32))}'")
            await page.tab.until(f"{ALLOWED}.startsWith('This link is damaged')")
        await page.reload()
        assert page.tab.faults == []
    async with upload_page(
        browser, f"{guarded.page}#token={signed({'alg': 'HS256'}, senseless[0], bytes(32))}"
    ) as page:
        assert (await page.tab.run(ALLOWED)).startswith("This link is damaged")
        assert page.tab.faults == []


async def test_what_a_link_does_not_allow_is_said_in_words(browser: str, guarded: Guarded, write: Write) -> None:
    file = write("letter.bin", 1000)  # no other test has uploaded a file of this name
    async with upload_page(browser, guarded.page) as page:
        sentence = "This server can be used only through a link. Open the link that you were given."
        assert (await page.tab.run(ALLOWED), await page.tab.run(CHOICE_IS_SEEN)) == (sentence, False)
        await page.tab.drop(file)
        await page.tab.until(f"{NOTICE} === {sentence!r}")
        await page.tab.run(f"location.hash = 'token={guarded.token()[:40]}'")
        await page.tab.until(f"{ALLOWED}.startsWith('This link is damaged')")
        await page.tab.run(f"location.hash = 'token={guarded.token(scope='watch')}'")
        await page.tab.until(f"{ALLOWED} === 'This link is not for uploading.'")
        await page.tab.run(f"location.hash = 'token={guarded.token(expires_in=-3600)}'")
        await page.tab.until(f"{ALLOWED}.startsWith('This link was valid until ')")
        assert await failed(page, file) == "Failed. This link has expired. Ask for a new one"
        await page.tab.run(f"location.hash = 'token={FORGED}'")
        await page.tab.until(f"{ALLOWED}.startsWith('This link is for any number of files, until ')")
        await page.press("again", file.name)
        await page.tab.until("document.querySelector('#files .status').textContent.includes('not valid here')")
        await page.tab.run(f"location.hash = 'token={guarded.token(types=['image/*'])}'")
        await page.tab.until(f"{ALLOWED}.includes('Allowed are pictures.')")
        await page.choose(write("film.mp4", 1000))
        assert await page.tab.run(NOTICE) == "“film.mp4” is video/mp4. Allowed are pictures."
        assert "are not accepted" in await failed(page, write("letter.txt", 1000))


async def test_a_link_that_only_sends_offers_no_download(browser: str, guarded: Guarded, write: Write) -> None:
    async with upload_page(browser, guarded.link(owner="erna", scope="create append inspect")) as page:
        await page.choose(write(NAME, 1000))
        assert (await page.until(NAME, "verified", "failed"))["buttons"] == ["remove"]


async def test_a_link_for_one_upload_fills_that_upload(
    browser: str, guarded: Guarded, http: aiohttp.ClientSession, write: Write
) -> None:
    file = write(NAME, 1000)
    login = {"Authorization": f"Bearer {guarded.token()}", "Tus-Resumable": "1.0.0", "Upload-Length": "1000"}
    async with http.post(f"{guarded.page}files", headers=login) as answer:
        assert answer.status == 201
        location = answer.headers["Location"]
    link = guarded.link(upload=location.rpartition("/")[2])
    async with upload_page(browser, link) as page:
        assert (await page.tab.run(ALLOWED)).startswith("This link is for one upload that was begun, until ")
        assert await failed(page, write("other.bin", 999)) == "Failed. This link is for another file: its size differs"
        await page.choose(file)
        await page.until(NAME, "verified")
    async with http.get(location, headers=login) as answer:
        assert await answer.read() == file.read_bytes()


async def test_a_link_works_where_the_browser_keeps_nothing(guarded: Guarded, write: Write, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile", keeps_nothing=True) as browser:
        async with upload_page(browser, guarded.link()) as page:
            await page.choose(write(NAME, 1000))
            await page.until(NAME, "verified")
            assert page.tab.faults == []
