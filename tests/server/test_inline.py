"""--inline: which downloads browsers may show, and what other origins may read of a download."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from embedded_server import embedded

from onward.server.config import Config, ConfigError

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes(50)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
FILES = {
    "png": (PNG, "image/png"), "text": (b"hello\n", "text/plain; charset=utf-8"), "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(20), "application/pdf"),
    "svg": (SVG, None), "html": (b"<!doctype html><script>alert(1)</script>", None), "xml": (b"<?xml version='1.0'?><a/>", None),
    "zip": (b"PK\3\4" + bytes(40), None), "unknown": (b"\1\2\3\0", None), "empty": (b"", None),
}  # fmt: skip
OURS = "https://app.example"


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[str]:
    types = ["image/*", "audio/*", "video/*", "text/plain", "application/pdf"]
    async with embedded(tmp_path, state="memory:", inline=types, cors_origins=[OURS], cors_headers=["X-Csrf"]) as url:
        yield url


async def uploaded(http: aiohttp.ClientSession, files: str, data: bytes) -> str:
    url = await tus.create(http, files, len(data), **{"Upload-Metadata": "filename YS5wbmc="})
    assert (await tus.patch(http, url, 0, data)).status == 204
    return url


async def test_only_safe_types_are_shown(http: aiohttp.ClientSession, files: str) -> None:
    for name, (data, shown) in FILES.items():
        url = await uploaded(http, files, data)
        for method in ("GET", "HEAD"):
            async with http.request(method, url) as answer:
                kind, told = ("inline", shown) if shown else ("attachment", "application/octet-stream")
                assert answer.headers["Content-Type"] == told, name
                assert answer.headers["Content-Disposition"].startswith(f"{kind}; filename="), name
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"


async def test_without_the_option_nothing_is_shown(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with (
        embedded(tmp_path / "strict", state="memory:") as files,
        http.get(await uploaded(http, files, PNG)) as answer,
    ):
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "word",
    ["text/html", "image/svg+xml", "application/xml", "*/*", "text/*", "application/*", "application/zip", "application/octet-stream", "x"],
)  # fmt: skip
def test_a_type_that_may_run_scripts_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="inline"):
        Config(inline=["image/png", word])


async def test_pages_of_the_origins_may_download_and_send_their_headers(
    http: aiohttp.ClientSession, files: str
) -> None:
    url = await uploaded(http, files, PNG)
    asking = {"Origin": OURS, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range,x-csrf"}
    async with http.options(url, headers=asking) as answer:
        allowed = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
        assert {"range", "if-range", "x-csrf", "idempotency-key"} <= allowed
    for sent, status in (({}, 200), ({"Range": "bytes=0-3"}, 206), ({"Range": "bytes=900-"}, 416)):
        async with http.get(url, headers=sent | {"Origin": OURS}) as answer:
            assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (status, OURS)
            exposed = answer.headers["Access-Control-Expose-Headers"]
            assert {"Content-Disposition", "Content-Range", "ETag", "Repr-Digest", "Upload-Limit"} <= set(
                exposed.split(", ")
            )
        async with http.get(url, headers=sent | {"Origin": "https://other.example"}) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("word", ["X Y", "X:Y", "x\r\ny", "é"])
def test_what_is_no_name_of_a_header_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="cors_headers"):
        Config(cors_headers=[word])
