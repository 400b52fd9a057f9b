"""Requests that no client library sends: never a 5xx, and the right answer where there is one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from onward_process import OnwardProcess, onward

VERSION = b"Tus-Resumable: 1.0.0\r\n"
OCTETS = b"Content-Type: application/offset+octet-stream\r\n"
CASES: dict[str, tuple[bytes, int]] = {
    "key of a WebSocket is not ASCII": (
        b"GET %b/progress HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \xff\xfe\r\n\r\n",
        400,
    ),
    "no key of a WebSocket": (b"GET %b/progress HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\n\r\n", 400),
    "refused before 100 Continue": (
        b"PATCH %b HTTP/1.1\r\nHost: t\r\n" + VERSION + OCTETS + b"Upload-Offset: 3\r\nContent-Length: 1\r\n"
        b"Expect: 100-continue\r\n\r\n",
        409,
    ),
    "another expectation": (b"PATCH %b HTTP/1.1\r\nHost: t\r\nExpect: foo\r\nContent-Length: 1\r\n\r\n", 417),
    "two offsets": (
        b"PATCH %b HTTP/1.1\r\nHost: t\r\n" + VERSION + OCTETS + b"Upload-Offset: 0\r\nUpload-Offset: 0\r\n\r\n",
        400,
    ),
    "a huge body": (
        b"PATCH %b HTTP/1.1\r\nHost: t\r\n" + VERSION + OCTETS + b"Upload-Offset: 0\r\nContent-Length: 1"
        b"000000000000000000\r\n\r\n",
        413,
    ),
    "a coded transfer": (
        b"PATCH %b HTTP/1.1\r\nHost: t\r\n" + VERSION + OCTETS + b"Upload-Offset: 0\r\n"
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "metadata not ASCII": (
        b"POST /files HTTP/1.1\r\nHost: t\r\n" + VERSION + b"Upload-Length: 1\r\nUpload-Metadata: a\xff YQ==\r\n\r\n",
        400,
    ),
}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[OnwardProcess]:
    async with onward(tmp_path / "data", "memory:") as process:
        yield process


async def ask(server: OnwardProcess, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return answer


@pytest.mark.parametrize(("request_", "status"), CASES.values(), ids=CASES.keys())
async def test_an_odd_request_is_refused(
    server: OnwardProcess, http: aiohttp.ClientSession, request_: bytes, status: int
) -> None:
    url = await tus.create(http, server.url, 10)
    path = url[url.index("/files") :].encode()
    answer = await ask(server, request_.replace(b"%b", path))
    assert int(answer.split()[1]) == status
    assert await tus.offset(http, url) == 0


@pytest.mark.parametrize("header", [b"Host: t\r\nX-Forwarded-Proto: https", b"Host: t\r\nForwarded: proto=https"])
async def test_a_location_that_may_be_wrong_is_a_bare_path(server: OnwardProcess, header: bytes) -> None:
    answer = await ask(server, b"POST /files HTTP/1.1\r\n" + header + b"\r\n" + VERSION + b"Upload-Length: 1\r\n\r\n")
    assert b"\r\nLocation: /files/" in answer


@pytest.mark.parametrize(
    ("method", "act", "status", "left"),
    [
        ("POST", "PATCH", 204, 5), ("GET", "PATCH", 204, 5), ("POST", "HEAD", 200, 0), ("PATCH", "HEAD", 200, 0),
        ("POST", "PUT", 405, 0), ("PATCH", "TRACE", 405, 0), ("POST", "patch", 405, 0), ("POST", "DELETE", 204, None),
    ],
)  # fmt: skip
async def test_the_method_is_overridden(
    server: OnwardProcess, http: aiohttp.ClientSession, method: str, act: str, status: int, left: int | None
) -> None:
    url = await tus.create(http, server.url, 10)
    headers = tus.TUS | tus.OCTETS | {"X-HTTP-Method-Override": act, "Upload-Offset": "0"}
    async with http.request(method, url, headers=headers, data=b"hello") as answer:
        assert answer.status == status
        assert ("Allow" in answer.headers) == (status == 405)
    told = await tus.head(http, url)
    assert told.headers.get("Upload-Offset") == (None if left is None else str(left))


async def test_extensions_are_switched_off(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with onward(
        tmp_path / "other", "memory:", ["--without=termination,expiration,creation-with-upload"]
    ) as server:
        headers = tus.TUS | tus.OCTETS | {"Upload-Length": "5"}
        async with http.post(server.url, data=b"hello", headers=headers) as answer:
            assert (answer.status, answer.headers["Upload-Offset"]) == (201, "0")
            assert "Upload-Expires" not in answer.headers
            url = answer.headers["Location"]
        async with http.delete(url, headers=tus.TUS) as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD,OPTIONS,PATCH")
        async with http.options(url) as answer:
            offered = answer.headers["Tus-Extension"]
        assert offered == "creation,creation-defer-length,checksum,concatenation,concatenation-unfinished"


async def test_a_body_for_a_completed_upload_that_never_comes_is_not_waited_for(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", "memory:", ["--lease-wait=120", "--body-idle=120"]) as server:
        url = await tus.create(http, server.url, 4)
        assert (await tus.patch(http, url, 0, b"four")).status == 204
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        path = url.removeprefix(server.url.removesuffix("/files")).encode()
        head = b"PATCH %b HTTP/1.1\r\nHost: t\r\n" % path + VERSION + OCTETS
        writer.write(head + b"Upload-Offset: 4\r\nTransfer-Encoding: chunked\r\n\r\n")
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        assert b" 204 " in answer
        assert b"Upload-Offset: 4\r\n" in answer
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
