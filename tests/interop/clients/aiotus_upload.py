"""Upload with aiotus: aiotus_upload.py FILES_URL FILE SHA256; it retries by itself."""

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import aiotus


async def tell_location(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, end: aiohttp.TraceRequestEndParams
) -> None:
    """Print the URL of the upload as soon as it is known."""
    if end.method == "POST":
        print(json.dumps({"url": end.response.headers["Location"]}), flush=True)


async def main(files: str, path: str, sha256: str) -> None:
    """Upload a file."""
    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(tell_location)
    config = aiotus.RetryConfiguration(retry_attempts=60, max_retry_period_seconds=0.5)
    metadata = {"filename": b"aiotus.bin", "sha256": sha256.encode()}
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        with Path(path).open("rb") as file:  # noqa: ASYNC230
            url = await aiotus.upload(files, file, metadata, session, config)
    print(json.dumps({"ok": url is not None}), flush=True)


asyncio.run(main(*sys.argv[1:]))
