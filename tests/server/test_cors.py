"""What a browser needs before a page of another origin may upload, and what stays closed to the others."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from onward_process import OnwardProcess, onward

OURS = "https://app.example"
FOREIGN = (
    "https://evil.example", "https://app.example.evil", "http://app.example", "https://app.example:444", "null",
    "https://xapp.example", "https://app.exampl", "", "*",
)  # fmt: skip
ASKING = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "tus-resumable,upload-offset"}
NEEDED_TO_SEND = {
    "content-type", "repr-digest", "tus-resumable", "upload-checksum", "upload-concat", "upload-defer-length",
    "upload-length", "upload-metadata", "upload-offset", "x-http-method-override", "x-request-id",
}  # fmt: skip
NEEDED_TO_READ = {
    "location", "repr-digest", "tus-extension", "tus-max-size", "tus-resumable", "tus-version", "upload-concat",
    "upload-defer-length", "upload-expires", "upload-length", "upload-metadata", "upload-offset",
}  # fmt: skip


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[OnwardProcess]:
    async with onward(tmp_path / "data", "memory:", [f"--cors-origins={OURS}, http://localhost:3000"]) as process:
        yield process


def words(value: str) -> set[str]:
    return {word.strip().lower() for word in value.split(",")}


def opened(headers: Mapping[str, str]) -> set[str]:
    """Give the names of the headers that open something."""
    return {name.lower() for name in headers if name.lower().startswith("access-control-")}


@pytest.mark.parametrize("end", ["", "/" + "0" * 32, "/" + "0" * 32 + "/progress"])
async def test_a_preflight_allows_all_that_tus_sends(
    server: OnwardProcess, http: aiohttp.ClientSession, end: str
) -> None:
    async with http.options(server.url + end, headers=ASKING | {"Origin": OURS}) as answer:
        headers = answer.headers
        assert (answer.status, headers["Access-Control-Allow-Origin"], headers["Vary"]) == (204, OURS, "Origin")
        assert words(headers["Access-Control-Allow-Methods"]) >= {"post", "patch", "head", "delete", "get"}
        assert words(headers["Access-Control-Allow-Headers"]) >= NEEDED_TO_SEND
        assert int(headers["Access-Control-Max-Age"]) > 0
        assert "Access-Control-Allow-Credentials" not in headers


async def test_early_errors_can_be_read(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    url = await tus.create(http, server.url, 3)
    ours = {"Origin": OURS}
    patch = tus.TUS | tus.OCTETS | ours
    requests = (
        ("POST", server.url, ours, 412),
        ("POST", server.url, tus.TUS | ours, 400),
        ("PUT", server.url, ours, 405),
        ("GET", server.url + "/nothing", ours, 404),
        ("HEAD", server.url + "/" + "0" * 32, tus.TUS | ours, 404),
        ("PATCH", url, patch | {"Upload-Offset": "1"}, 409),
        ("PATCH", url, patch | {"Upload-Offset": "0", "Content-Type": "text/plain"}, 415),
        ("PATCH", url, patch | {"Upload-Offset": "0", "Content-Length": "9"}, 413),
        ("PATCH", url, patch | {"Expect": "nothing"}, 417),
        ("GET", url, ours, 409),
    )
    for method, path, headers, status in requests:
        async with http.request(method, path, headers=headers) as answer:
            assert (answer.status, answer.headers.get("Access-Control-Allow-Origin")) == (status, OURS), (method, path)
            assert words(answer.headers["Access-Control-Expose-Headers"]) >= NEEDED_TO_READ


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_foreign_origin_is_let_in_nowhere(
    server: OnwardProcess, http: aiohttp.ClientSession, origin: str
) -> None:
    for method, more in (("OPTIONS", ASKING), ("OPTIONS", {}), ("GET", {}), ("POST", tus.TUS)):
        async with http.request(method, server.url, headers=more | {"Origin": origin}) as answer:
            assert opened(answer.headers) == set()
            assert answer.headers["Vary"] == "Origin"


async def test_who_names_several_origins_is_let_in_nowhere(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    for method, more in (("OPTIONS", ASKING), ("GET", {}), ("POST", tus.TUS)):
        for other in ("https://evil.example", OURS):
            headers = [*more.items(), ("Origin", OURS), ("Origin", other)]
            async with http.request(method, server.url, headers=headers) as answer:
                assert opened(answer.headers) == set()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], {}),
        (["--cors-origins=*"], {"access-control-allow-origin": "*"}),
        (
            [f"--cors-origins={OURS}", "--cors-credentials"],
            {"access-control-allow-origin": OURS, "access-control-allow-credentials": "true"},
        ),
    ],
)
async def test_the_configured_headers_are_sent(
    options: list[str], told: dict[str, str], tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with (
        onward(tmp_path / "other", "memory:", options) as server,
        http.options(server.url, headers={"Origin": OURS}) as answer,
    ):
        found = {name.lower(): value for name, value in answer.headers.items() if "-allow-" in name.lower()}
        assert found == told
        assert bool(opened(answer.headers)) == bool(told)
