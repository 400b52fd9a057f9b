"""Waits until a part of an upload is stored, and returns what is left to send."""

import asyncio
from collections.abc import Sequence

import aiohttp
import tus_requests as tus
from unreliable_proxy import RoughLine

LOOKS = 1000
HEADERS = 64 * 2**10  # bytes that the requests for a rest may take beside the rest itself


async def stored(http: aiohttp.ClientSession, url: str) -> int:
    """Give the bytes that a watcher of an upload is told, which disturbs nobody who sends."""
    async with http.get(f"{url}/progress") as answer:
        uploaded: int = (await answer.json())["uploadedBytes"]
        return uploaded


async def until_stored(http: aiohttp.ClientSession, urls: Sequence[str], least: int) -> None:
    """Wait until that many bytes of these uploads are stored."""
    for _ in range(LOOKS):
        if sum([await stored(http, url) for url in urls]) >= least:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"less than {least} bytes are stored")


async def offsets(http: aiohttp.ClientSession, urls: Sequence[str], proxy: RoughLine) -> int:
    """Give the sum of the offsets, once nothing of a stopped client is under way in the proxy any more."""
    found = sum([await tus.offset(http, url) for url in urls])
    sent = -1
    while sent < proxy.taken:
        sent = proxy.taken
        await asyncio.sleep(0.1)
    assert found == sum([await tus.offset(http, url) for url in urls])
    return found
