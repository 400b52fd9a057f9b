"""A PATCH whose client has vanished: a part of its body arrives, then nothing, and no FIN either."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import tus_requests as tus
from midway_wait import until_stored
from onward_process import OnwardProcess

PART, SIZE = 2**16, 2**17


@asynccontextmanager
async def half_open(http: aiohttp.ClientSession, server: OnwardProcess) -> AsyncIterator[str]:
    """Create an upload of SIZE bytes, leave a PATCH in it after PART of them, and give its id."""
    url = await tus.create(http, server.url, SIZE)
    id_ = url.rpartition("/")[2]
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = (
        f"PATCH /files/{id_} HTTP/1.1\r\nHost: t\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n"
        f"Content-Type: application/offset+octet-stream\r\nContent-Length: {SIZE}\r\n\r\n"
    )
    writer.write(head.encode() + bytes(PART))
    await writer.drain()
    await until_stored(http, [url], PART)
    try:
        yield id_
    finally:
        writer.transport.abort()


async def displace(http: aiohttp.ClientSession, method: str, url: str) -> None:
    """Take the upload over by a request that has to be answered well."""
    if method == "HEAD":
        assert await tus.offset(http, url) == PART
    else:
        assert (await tus.patch(http, url, PART, bytes(SIZE - PART))).status == 204
