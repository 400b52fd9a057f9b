"""A half-open PATCH gives way to any request, on its own server and on another; figures: tests/benchmarks/takeover.py."""

from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from half_open_request import PART, SIZE, displace, half_open
from onward_process import onward


@pytest.mark.parametrize("method", ["HEAD", "PATCH"])
async def test_a_half_open_patch_is_displaced(
    method: str, http: aiohttp.ClientSession, redis_url: str, tmp_path: Path
) -> None:
    async with onward(tmp_path / "data", redis_url) as a, onward(tmp_path / "data", redis_url) as b:
        for taker in (a, b):
            async with half_open(http, a) as id_:
                await displace(http, method, f"{taker.url}/{id_}")
                assert await tus.offset(http, f"{a.url}/{id_}") == (PART if method == "HEAD" else SIZE)
