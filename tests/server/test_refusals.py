"""Every refusal: its status, its RFC 9457 body, and the upload as it was."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from onward_process import OnwardProcess, onward

OFFSET = {"Upload-Offset": "4"}
PATCH = tus.TUS | tus.OCTETS | OFFSET


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[OnwardProcess]:
    async with onward(tmp_path / "data", "sqlite:", ["--max-size=1000"]) as process:
        yield process


CASES: dict[str, tuple[str, dict[str, str], bytes, int]] = {
    "wrong offset": ("PATCH", PATCH | {"Upload-Offset": "3"}, b"x", 409),
    "offset ahead": ("PATCH", PATCH | {"Upload-Offset": "5"}, b"x", 409),
    "beyond the length": ("PATCH", PATCH, b"x" * 7, 413),
    "offset is no number": ("PATCH", PATCH | {"Upload-Offset": "+4"}, b"x", 400),
    "offset in other digits": ("PATCH", PATCH | {"Upload-Offset": "٤"}, b"x", 400),
    "no offset": ("PATCH", tus.TUS | tus.OCTETS, b"x", 400),
    "another length": ("PATCH", PATCH | {"Upload-Length": "11"}, b"x", 400),
    "other media type": ("PATCH", PATCH | {"Content-Type": "text/plain"}, b"x", 415),
    "coded body": ("PATCH", PATCH | {"Content-Encoding": "gzip"}, b"x", 415),
    "bad digest": ("PATCH", PATCH | {"Repr-Digest": "sha-256=:AAAA:"}, b"x", 400),
    "other version": ("PATCH", PATCH | {"Tus-Resumable": "0.2.2"}, b"x", 412),
    "no version": ("PATCH", tus.OCTETS | OFFSET, b"x", 412),
    "not completed": ("GET", {}, b"", 409),
    "delete in another version": ("DELETE", {"Tus-Resumable": "2.0.0"}, b"", 412),
    "unknown method": ("PUT", tus.TUS, b"", 405),
}


@pytest.mark.parametrize(("method", "headers", "body", "status"), CASES.values(), ids=CASES.keys())
async def test_refusal_leaves_the_upload_as_it_was(
    server: OnwardProcess, http: aiohttp.ClientSession, method: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    url = await tus.create(http, server.url, 10)
    await tus.patch(http, url, 0, b"four")
    async with http.request(method, url, headers=headers, data=body or None) as answer:
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
        assert answer.headers["Tus-Resumable"] == "1.0.0"
        problem: dict[str, Any] = await answer.json(content_type=None)
        assert problem["status"] == status
        assert problem["title"]
        assert problem["code"]
        if status == 412:
            assert answer.headers["Tus-Version"] == "1.0.0"
    assert await tus.offset(http, url) == 4
    answer = await tus.patch(http, url, 4, b"123456")
    assert answer.status == 204
    assert (server.data / "files" / url.rpartition("/")[2]).read_bytes() == b"four123456"


CREATIONS: dict[str, tuple[dict[str, str], int]] = {
    "no length": ({}, 400),
    "both lengths": ({"Upload-Length": "1", "Upload-Defer-Length": "1"}, 400),
    "length below zero": ({"Upload-Length": "-1"}, 400),
    "length in words": ({"Upload-Length": "ten"}, 400),
    "length with a zero": ({"Upload-Length": "05"}, 400),
    "deferred otherwise": ({"Upload-Defer-Length": "2"}, 400),
    "too large": ({"Upload-Length": "1001"}, 413),
    "metadata twice": ({"Upload-Length": "1", "Upload-Metadata": "a YQ==,a YQ=="}, 400),
    "metadata no Base64": ({"Upload-Length": "1", "Upload-Metadata": "a ???"}, 400),
    "sha256 no hex": ({"Upload-Length": "1", "Upload-Metadata": "sha256 YQ=="}, 400),
    "other version": ({"Upload-Length": "1", "Tus-Resumable": "3"}, 412),
}


@pytest.mark.parametrize(("headers", "status"), CREATIONS.values(), ids=CREATIONS.keys())
async def test_creation_is_refused(
    server: OnwardProcess, http: aiohttp.ClientSession, headers: dict[str, str], status: int
) -> None:
    async with http.post(server.url, headers=tus.TUS | headers) as answer:
        assert answer.status == status
        assert "Location" not in answer.headers
        assert (await answer.json(content_type=None))["status"] == status


@pytest.mark.parametrize("path", ["0" * 32, "0" * 31, "..%2f..%2fetc%2fpasswd", "a%00b", "x" * 3000])
@pytest.mark.parametrize("method", ["HEAD", "PATCH", "GET", "DELETE"])
async def test_unknown_ids_are_404(server: OnwardProcess, http: aiohttp.ClientSession, method: str, path: str) -> None:
    async with http.request(method, f"{server.url}/{path}", headers=PATCH) as answer:
        assert answer.status == 404
        assert "Upload-Offset" not in answer.headers


async def test_a_body_of_unknown_size_beyond_the_length_is_never_stored(
    server: OnwardProcess, http: aiohttp.ClientSession
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 6
        yield b"y" * 6

    url = await tus.create(http, server.url, 10)
    await tus.patch(http, url, 0, b"four")
    assert (await tus.patch(http, url, 4, body())).status == 413
    assert await tus.offset(http, url) == 4
    assert (await tus.patch(http, url, 4, b"123456")).status == 204
    assert (server.data / "files" / url.rpartition("/")[2]).read_bytes() == b"four123456"
