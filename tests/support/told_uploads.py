"""Uploads of all kinds against servers that die at any moment, each brought to its end; for the tests of events.

Every request is repeated until it is answered, by any server that runs. What happened in the end is in the records.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
from tus_requests import OCTETS, TUS

BODY = OCTETS["Content-Type"]
PIECE = 3000  # bytes of one chunk
PATIENCE = 10.0  # seconds for one answer
PAUSE = 0.03
WRONG = {"Repr-Digest": f"sha-256=:{'A' * 43}=:"}


class Over(Exception):
    """The upload has ended in another way than was meant: it expired meanwhile."""


class ToldUploads:
    """Sends uploads; `ports` gives those at which a server listens now."""

    def __init__(self, http: aiohttp.ClientSession, dice: random.Random, ports: Callable[[], Sequence[int]]) -> None:
        self._http, self._dice, self._ports = http, dice, ports
        self.kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "whole": self._whole, "chunked": self._chunked, "joined": self._joined, "expired": self._expired,
            "terminated": self._terminated, "failing": self._failing,
        }  # fmt: skip

    async def run(self, count: int, at_once: int) -> None:
        """Send so many uploads of each kind in turn."""
        gate = asyncio.Semaphore(at_once)

        async def one(number: int) -> None:
            async with gate:
                try:
                    await list(self.kinds.values())[number % len(self.kinds)]()
                except Over:
                    return

        await asyncio.gather(*(one(number) for number in range(count)))

    async def _ask(self, method: str, path: str, data: bytes = b"", **headers: str) -> tuple[int, dict[str, str]]:
        """Repeat a request until a server answers it."""
        while True:
            if ports := self._ports():
                url = f"http://127.0.0.1:{self._dice.choice(ports)}/files{path}"
                sent: dict[str, Any] = {name.replace("_", "-"): value for name, value in headers.items()}
                try:
                    async with (
                        asyncio.timeout(PATIENCE),
                        self._http.request(method, url, data=data, headers=TUS | sent) as answer,
                    ):
                        await answer.read()
                        if answer.status not in {423, 500, 503}:
                            return answer.status, {name.lower(): value for name, value in answer.headers.items()}
                except (aiohttp.ClientError, TimeoutError, OSError):
                    pass
            await asyncio.sleep(PAUSE)

    async def _create(self, length: int, **headers: str) -> str:
        status, answer = await self._ask("POST", "", b"", Upload_Length=str(length), **headers)
        assert status == 201, status
        return "/" + answer["location"].rpartition("/")[2]

    async def _send(self, path: str, data: bytes, piece: int) -> None:
        """Send until all is stored, from the offset that the server names."""
        while True:
            status, answer = await self._ask("HEAD", path)
            if status in (404, 410):
                raise Over
            at = int(answer["upload-offset"])
            if at == len(data):
                return
            status, _ = await self._ask("PATCH", path, data[at : at + piece], Upload_Offset=str(at), Content_Type=BODY)
            if status in (404, 410, 460):
                raise Over

    async def _whole(self) -> None:
        data = self._dice.randbytes(self._dice.randrange(1, 3 * PIECE))
        await self._send(await self._create(len(data)), data, len(data))

    async def _chunked(self) -> None:
        data = self._dice.randbytes(3 * PIECE)
        await self._send(await self._create(len(data)), data, PIECE)

    async def _joined(self) -> None:
        parts = []
        for _ in range(2):
            data = self._dice.randbytes(PIECE)
            parts.append(await self._create(len(data), Upload_Concat="partial"))
            await self._send(parts[-1], data, PIECE)
        concat = "final;" + " ".join(f"/files{part}" for part in parts)
        await self._ask("POST", "", Upload_Concat=concat)

    async def _expired(self) -> None:
        path = await self._create(2 * PIECE)
        await self._ask("PATCH", path, self._dice.randbytes(PIECE), Upload_Offset="0", Content_Type=BODY)

    async def _terminated(self) -> None:
        path = await self._create(2 * PIECE)
        if self._dice.random() < 0.5:
            await self._ask("PATCH", path, self._dice.randbytes(PIECE), Upload_Offset="0", Content_Type=BODY)
        await self._ask("DELETE", path)

    async def _failing(self) -> None:
        data = self._dice.randbytes(PIECE)
        await self._send(await self._create(len(data), **WRONG), data, len(data))
