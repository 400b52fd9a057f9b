"""Where `Location` leads: to the URL that the operator names, or to what the farthest trusted proxy states."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from embedded_server import embedded

from onward.server.config import Config, ConfigError

FAR = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "far"}
TWO = "127.0.0.1,10.0.0.0/8"


async def location(http: aiohttp.ClientSession, data: Path, headers: dict[str, str], **options: Any) -> str:
    """Create an upload, and give what comes before its id in Location."""
    async with embedded(data, state="memory:", blobs="memory:", **options) as files:
        url = await tus.create(http, files, 1, **headers)
        return url.rpartition("/")[0].replace(files.removesuffix("/files"), "SERVER")


@pytest.mark.parametrize(
    ("base", "begin"),
    [
        ("https://files.example", "https://files.example/files"),
        ("https://app.example:8443/api/", "https://app.example:8443/api/files"),
        ("HTTP://[::1]/a/b", "http://[::1]/a/b/files"),
    ],
)
async def test_the_url_that_the_operator_names_wins(
    http: aiohttp.ClientSession, tmp_path: Path, base: str, begin: str
) -> None:
    for trusted in ("127.0.0.1", "10.0.0.0/8"):
        assert await location(http, tmp_path, FAR, public_base=base, trusted_proxies=trusted) == begin
    assert await location(http, tmp_path, {}, public_base=base) == begin


async def test_parts_are_joined_by_the_urls_that_the_server_has_told(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with embedded(tmp_path, state="memory:", blobs="memory:", public_base="https://app.example/api") as files:
        parts = [await tus.create(http, files, 0, **{"Upload-Concat": "partial"}) for _ in range(2)]
        assert all(part.startswith("https://app.example/api/files/") for part in parts)
        assert (await tus.final(http, files, parts)).status == 201
        assert (await tus.final(http, files, [parts[0].replace("app.", "other.")])).status == 400


async def test_pages_of_the_public_base_may_watch(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with embedded(tmp_path, state="memory:", blobs="memory:", public_base="https://app.example/api") as files:
        url = f"{files}/{(await tus.create(http, files, 1)).rpartition('/')[2]}/progress"
        async with http.ws_connect(url, origin="https://app.example") as watcher:
            assert (await watcher.receive_json())["status"] == "pending"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(url, origin=files.removesuffix("/files"))


@pytest.mark.parametrize(
    "base",
    ["files.example", "ftp://files.example", "https://", "https://a b", "https://a/b?c", "https://a/b#c", "https://a@b",
     "https://a/../b", "https://a//b", "https://a/%2f", "https://a/" + "b" * 300, "https://a\r\nX: y"],
)  # fmt: skip
def test_what_is_no_such_url_is_refused(base: str) -> None:
    with pytest.raises(ConfigError, match="public_base"):
        Config(public_base=base)


@pytest.mark.parametrize(
    ("trusted", "headers", "begin"),
    [
        # one proxy: it has written the last value of each header
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.1"} | FAR, "https://far/files"),
        ("127.0.0.1", FAR | {"X-Forwarded-For": "10.1.1.1, 192.0.2.1", "X-Forwarded-Host": "forged, right"}, "https://right/files"),
        # two: the farther one has written the value before the last, or the only one
        (TWO, FAR | {"X-Forwarded-For": "192.0.2.1, 10.0.0.9", "X-Forwarded-Host": "forged, edge, inner"}, "https://edge/files"),
        (TWO, {"X-Forwarded-For": "192.0.2.1, 10.0.0.9:81", "X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "edge"}, "https://edge/files"),
        # a trusted address behind one that isn't is only what somebody says
        (TWO, FAR | {"X-Forwarded-For": "10.0.0.9, 192.0.2.1", "X-Forwarded-Host": "forged, edge"}, "https://edge/files"),
        (TWO, FAR | {"X-Forwarded-For": "10.0.0.8, 10.0.0.9", "X-Forwarded-Host": "one, two, three"}, "https://one/files"),
        # what is no address is not trusted
        (TWO, FAR | {"X-Forwarded-For": "unknown, 10.0.0.9", "X-Forwarded-Host": "one, two, three"}, "https://two/files"),
        (TWO, FAR | {"X-Forwarded-For": ",,", "X-Forwarded-Host": "one, two"}, "https://two/files"),
        # the path at which a proxy has put the server
        ("127.0.0.1", FAR | {"X-Forwarded-Prefix": "/api"}, "https://far/api/files"),
        ("127.0.0.1", FAR | {"X-Forwarded-Prefix": "/"}, "https://far/files"),
        ("127.0.0.1", {"X-Forwarded-Prefix": "/a/b-c_d.e~f/"}, "SERVER/a/b-c_d.e~f/files"),
        (TWO, FAR | {"X-Forwarded-For": "192.0.2.1, 10.0.0.9", "X-Forwarded-Prefix": "/edge, /inner"}, "https://far/edge/files"),
        ("127.0.0.1", FAR | {"X-Forwarded-Prefix": "//evil.example"}, "/files"),
        ("127.0.0.1", FAR | {"X-Forwarded-Prefix": "/a/../b"}, "/files"),
        ("127.0.0.1", FAR | {"X-Forwarded-Prefix": "api"}, "/files"),
        ("127.0.0.1", FAR | {"X-Forwarded-Prefix": "/a b"}, "/files"),
        ("127.0.0.1", FAR | {"X-Forwarded-Prefix": "/" + "a" * 300}, "/files"),
        ("10.0.0.0/8", {"X-Forwarded-Prefix": "/api"}, "/files"),
    ],
)  # fmt: skip
async def test_the_farthest_trusted_proxy_counts(
    http: aiohttp.ClientSession, tmp_path: Path, trusted: str, headers: dict[str, str], begin: str
) -> None:
    assert await location(http, tmp_path, headers, trusted_proxies=trusted) == begin


async def test_headers_of_the_other_kind_are_ignored(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    sent = {"Forwarded": "for=192.0.2.1;host=right;proto=https", "X-Forwarded-Prefix": "/api"}
    options = {"trusted_proxies": "127.0.0.1", "proxy_headers": "forwarded"}
    assert await location(http, tmp_path, sent, **options) == "https://right/files"
