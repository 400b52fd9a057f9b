"""The main job, end to end: a client sends a file over a bad line, the server may be killed, somebody watches."""

import asyncio
import hashlib
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp
import tus_requests as tus
from checking_watcher import Watcher
from nodejs import INTEROP, node_words
from onward_process import onward
from unreliable_proxy import Fault as LineFault
from unreliable_proxy import RoughLine

CLIENTS = ("tuspy", "aiotus", "tusjs")
IN_FLIGHT = 8 * 2**20  # bytes that a cut may lose between a client and the server: the buffers of the sockets and proxy
Fault = Literal["cuts", "kill"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was seen of one upload."""

    seconds: float
    faults: int
    size: int
    sent: int
    messages: int


def command(client: str) -> list[str]:
    """Give the words that start a client; skips where Node or its packages can't be had."""
    if client == "tusjs":
        return node_words("tusjs_upload.js", "tus-js-client")
    return [sys.executable, str(INTEROP / "clients" / f"{client}_upload.py")]


class Client:
    """A client's process; it tells the URL, then how it ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def told(self, timeout: float) -> dict[str, Any]:
        """Give its next line."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), timeout)
        assert line, "the client ended without a word"
        told: dict[str, Any] = json.loads(line)
        return told

    async def end(self, by: signal.Signals) -> None:
        """Send a signal, and wait until it has ended."""
        self._process.send_signal(by)
        await asyncio.wait_for(self._process.wait(), 20)


@asynccontextmanager
async def talking(words: Sequence[str]) -> AsyncIterator[Client]:
    """Run a client's process; it is killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    try:
        yield Client(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def client_process(client: str, words: Sequence[str]) -> AbstractAsyncContextManager[Client]:
    """Run one of the clients."""
    return talking([*command(client), *words])


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size_of(path: Path) -> int:
    """Give the size of a file."""
    return path.stat().st_size


async def upload(client: str, state: str, fault: Fault, file: Path, data: Path, *, rate: float) -> Figures:
    """Upload a file through a fault and check everything that was promised; gives what was seen."""
    size, sha256 = size_of(file), sha256_of(file)
    cuts = [1_500_000, 700_000, 1_900_000, 1_100_000] if fault == "cuts" else []
    began = time.monotonic()
    async with onward(data, state) as server, aiohttp.ClientSession() as http:
        proxy = RoughLine(server.port, [(at, LineFault.CUT) for at in cuts], rate=rate)
        async with (
            proxy.running(),
            client_process(client, [proxy.url, str(file), sha256]) as sender,
        ):
            id_ = (await sender.told(20))["url"].rpartition("/")[2]
            watcher = Watcher(f"{server.url}/{id_}")
            async with watcher.watching():
                if fault == "kill":
                    await watcher.until(size // 3, 600)
                    await server.kill9()
                    told = watcher.last["uploadedBytes"]
                    await server.start()
                    assert await tus.offset(http, f"{server.url}/{id_}") >= told, "told bytes were taken back"
                end = await sender.told(600)
                assert end == {"ok": True}, end
        last = watcher.last
        assert (last["status"], last["completed"], last["uploadedBytes"]) == ("completed", True, size)
        assert last["sha256"] == sha256
        assert len({message["uploadedBytes"] for message in watcher.messages}) > 3
        assert server.kept.sha256(id_) == sha256
        interruptions = len(cuts) or 3  # the kill, and a PATCH that the HEAD above may cut, twice
        assert len(proxy.done) == len(cuts)
        assert size <= proxy.taken <= size + interruptions * IN_FLIGHT, (
            f"the client sent {proxy.taken}, more than the rest"
        )
    return Figures(
        seconds=time.monotonic() - began,
        faults=len(cuts) or 1,
        size=size,
        sent=proxy.taken,
        messages=len(watcher.messages),
    )
