"""The application of docs/integrating.md, as it stands there: asked, told, and right about what there is."""

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from onward_process import ROOT, OnwardProcess, onward
from ports import free_port
from webhook_receiver import SECRET

pytestmark = pytest.mark.slow
DATA = b"a report" * 1000
PROGRAM = b"\x7fELF\x02\x01\x01" + bytes(57)
USER = {"Authorization": "Bearer token-1"}


@pytest.fixture
async def application(http: aiohttp.ClientSession) -> AsyncIterator[str]:
    """Run the example as its documentation says."""
    port = free_port()
    words = ["-m", "uvicorn", "--app-dir", "docs/examples", "application:app", "--port", str(port), "--log-level=error"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=ROOT, env={**os.environ, "SECRET": SECRET}
    )
    try:
        async with asyncio.timeout(30):
            while True:
                try:
                    async with http.get(f"http://127.0.0.1:{port}/files/user-1") as answer:
                        assert await answer.json() == []
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def server(application: str, tmp_path: Path) -> AsyncIterator[OnwardProcess]:
    """Run a server beside it, with the options of the documentation."""
    options = [
        f"--webhook={application}/events", f"--ask={application}/ask", "--ask-acts=create,publish",
        "--ask-headers=authorization", f"--webhook-secret={SECRET}",
    ]  # fmt: skip
    async with onward(tmp_path / "data", "sqlite:", options) as running:
        yield running


async def until_listed(http: aiohttp.ClientSession, application: str, names: list[str]) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        while True:
            async with http.get(f"{application}/files/user-1") as answer:
                found: list[dict[str, Any]] = await answer.json()
            if [each["name"] for each in found] == names:
                return found
            await asyncio.sleep(0.05)


async def test_the_example_works(http: aiohttp.ClientSession, application: str, server: OnwardProcess) -> None:
    sent = tus.TUS | {"Upload-Length": str(len(DATA)), "Upload-Metadata": "filename YS5wZGY="}
    async with http.post(server.url, headers=sent) as answer:
        assert (answer.status, (await answer.json(content_type=None))["title"]) == (401, "Please sign in")
    url = await tus.create(http, server.url, len(DATA), **USER, **{"Upload-Metadata": "filename YS5wZGY="})
    assert (await tus.patch(http, url, 0, DATA)).status == 204
    (file,) = await until_listed(http, application, ["a.pdf"])
    assert (file["id"], file["sha256"]) == (url.rpartition("/")[2], hashlib.sha256(DATA).hexdigest())
    program = await tus.create(http, server.url, len(PROGRAM), **USER)
    async with http.patch(program, data=PROGRAM, headers=tus.TUS | tus.OCTETS | {"Upload-Offset": "0"}) as answer:
        assert (answer.status, (await answer.json(content_type=None))["title"]) == (422, "No programs, please")
    async with http.delete(url, headers=tus.TUS) as answer:
        assert answer.status == 204
    await until_listed(http, application, [])
    async with http.post(f"{application}/events", json={"type": "upload.completed"}) as answer:
        assert answer.status == 401, "it is not signed"
