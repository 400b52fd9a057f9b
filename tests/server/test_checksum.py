"""A body with a checksum is kept whole or not at all."""

import hashlib
import zlib
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from onward_process import OnwardProcess, onward


@pytest.fixture
async def server(state_url: str, tmp_path: Path) -> AsyncIterator[OnwardProcess]:
    async with onward(tmp_path / "data", state_url) as process:
        yield process


def checksum(algorithm: str, digest: bytes) -> dict[str, str]:
    return {"Upload_Checksum": f"{algorithm} {b64encode(digest).decode()}"}


async def test_right_wrong_and_right_again(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    url = await tus.create(http, server.url, 10)
    crc = checksum("crc32", zlib.crc32(b"four").to_bytes(4, "big"))
    assert (await tus.patch(http, url, 0, b"four", **crc)).status == 204
    wrong = checksum("sha1", hashlib.sha1(b"other!").digest())
    assert (await tus.patch(http, url, 4, b"123456", **wrong)).status == 460
    assert await tus.offset(http, url) == 4
    right = checksum("sha1", hashlib.sha1(b"567890").digest())
    answer = await tus.patch(http, url, 4, b"567890", **right)
    assert answer.status == 204
    assert answer.headers["Repr-Digest"] == f"sha-256=:{b64encode(hashlib.sha256(b'four567890').digest()).decode()}:"
    assert (server.data / "files" / url.rpartition("/")[2]).read_bytes() == b"four567890"


async def test_an_empty_body_for_a_completed_upload_is_held_against_its_checksum(
    server: OnwardProcess, http: aiohttp.ClientSession
) -> None:
    url = await tus.create(http, server.url, 4)
    assert (await tus.patch(http, url, 0, b"four")).status == 204
    assert (await tus.patch(http, url, 4, b"", **checksum("sha1", hashlib.sha1(b"").digest()))).status == 204
    assert (await tus.patch(http, url, 4, b"", **checksum("sha1", hashlib.sha1(b"four").digest()))).status == 460
    assert await tus.offset(http, url) == 4


async def test_a_cut_body_keeps_nothing(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield b"x" * 70000
        raise ConnectionResetError

    url = await tus.create(http, server.url, 100000)
    promise = checksum("sha256", hashlib.sha256(b"x" * 70000).digest())
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await tus.patch(http, url, 0, cut(), **promise)
    assert await tus.offset(http, url) == 0


async def test_a_wrong_first_body_leaves_an_upload_to_go_on_with(
    server: OnwardProcess, http: aiohttp.ClientSession
) -> None:
    wrong = {"Upload-Checksum": f"md5 {b64encode(bytes(16)).decode()}", "Upload-Length": "4"}
    async with http.post(server.url, data=b"four", headers=tus.TUS | tus.OCTETS | wrong) as answer:
        assert answer.status == 460
        assert (await answer.json(content_type=None))["code"] == "body-checksum-mismatch"
        url = answer.headers["Location"]
    assert await tus.offset(http, url) == 0
    assert (await tus.patch(http, url, 0, b"four")).status == 204
