"""Print the progress of an upload until it ends: watch.py UPLOAD_URL."""

import asyncio
import json
import sys

import aiohttp


async def watch(url: str) -> str:
    """Follow an upload over the WebSocket and give its final status."""
    status = "unknown"
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/progress", heartbeat=30) as ws:
        async for message in ws:
            told = json.loads(message.data)
            status = told["status"]
            print(
                f"{status:>10}  {told['uploadedBytes']:>14,} of {told['fileSize'] or 0:,} bytes  {told['progress']} %"
            )
    return status


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(watch(sys.argv[1])) == "completed" else 1)
