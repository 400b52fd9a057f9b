"""The few requests of tus that tests send by hand."""

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import aiohttp

TUS = {"Tus-Resumable": "1.0.0"}
OCTETS = {"Content-Type": "application/offset+octet-stream"}
Response = aiohttp.ClientResponse


async def create(http: aiohttp.ClientSession, files: str, length: int | None, **headers: str) -> str:
    """Create an upload and give its URL."""
    size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    async with http.post(files, headers=TUS | size | headers) as answer:
        assert answer.status == 201, await answer.text()
        return answer.headers["Location"]


async def patch(
    http: aiohttp.ClientSession, url: str, offset: int, body: bytes | AsyncIterator[bytes], **headers: Any
) -> Response:
    """Send a body at an offset and give the answer, read whole."""
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    data = BytesIO(body) if isinstance(body, bytes) else body
    async with http.patch(url, data=data, headers=TUS | OCTETS | {"Upload-Offset": str(offset)} | extra) as answer:
        await answer.read()
        return answer


async def head(http: aiohttp.ClientSession, url: str) -> Response:
    """Ask for the state and give the answer."""
    async with http.head(url, headers=TUS) as answer:
        return answer


async def offset(http: aiohttp.ClientSession, url: str) -> int:
    """Ask for the offset."""
    answer = await head(http, url)
    assert answer.status == 200
    return int(answer.headers["Upload-Offset"])


async def part(http: aiohttp.ClientSession, files: str, data: bytes, size: int | None = None) -> str:
    """Create a partial upload with its first bytes stored and give its URL."""
    url = await create(http, files, len(data) if size is None else size, **{"Upload-Concat": "partial"})
    assert (await patch(http, url, 0, data)).status == 204
    return url


async def final(http: aiohttp.ClientSession, files: str, urls: list[str], **headers: str) -> aiohttp.ClientResponse:
    """Create a final upload of these parts."""
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    concat = {"Upload-Concat": f"final;{' '.join(urls)}"}
    async with http.post(files, headers=TUS | concat | extra) as answer:
        await answer.read()
        return answer
