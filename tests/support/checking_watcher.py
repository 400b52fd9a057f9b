"""Watches an upload, reconnects after the server was away, and checks each message."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

FINAL = {"completed", "failed", "terminated", "expired"}


class Watcher:
    """All messages about one upload; `seq` and the stored bytes must never go down."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        self.messages: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self.refusals: set[int] = set()
        self._url = f"{url}/progress"
        self._tls = tls or True
        self._changed = asyncio.Condition()
        self._fault: AssertionError | None = None  # what was wrong with a message, for those who wait for others

    @property
    def told(self) -> int:
        """The stored bytes that the newest message tells, 0 before the first."""
        return int(self.last["uploadedBytes"]) if self.messages else 0

    @property
    def last(self) -> dict[str, Any]:
        """The newest message."""
        return self.messages[-1]

    async def _follow(self) -> None:
        async with aiohttp.ClientSession() as session:
            while not self.messages or self.last["status"] not in FINAL:
                try:
                    await self._follow_once(session)
                except AssertionError as wrong:
                    self._fault = wrong
                    async with self._changed:
                        self._changed.notify_all()
                    raise
                except aiohttp.ClientError as error:
                    self.refusals.add(getattr(error, "status", 0))
                    await asyncio.sleep(0.1)

    async def _follow_once(self, session: aiohttp.ClientSession) -> None:
        seen = (-1, 0)
        async with session.ws_connect(self._url, ssl=self._tls) as ws:
            socket = ws.get_extra_info("socket")
            async for frame in ws:
                message = json.loads(frame.data)
                order = message["seq"], message["receivedBytes"]
                assert order > seen, "messages must become newer"
                seen = order
                if self.messages:
                    assert message["seq"] >= self.last["seq"], "seq went down"
                    assert message["uploadedBytes"] >= self.last["uploadedBytes"], "told bytes were taken back"
                async with self._changed:
                    self.messages.append(message)
                    self._changed.notify_all()
            self.close_code = ws.close_code
        # over TLS aiohttp goes before its connection has ended
        while socket.fileno() >= 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def until(self, bytes_told: int, timeout: float = 20) -> None:
        """Wait until that many bytes were told."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(lambda: self._fault or (self.messages and self.told >= bytes_told))
            if self._fault is not None:
                raise self._fault

    async def follow_until(self, bytes_told: int) -> None:
        """Watch until that many bytes were told, and leave."""
        following = asyncio.create_task(self._follow())
        try:
            await self.until(bytes_told)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    @asynccontextmanager
    async def watching(self, within: float = 20) -> AsyncIterator["Watcher"]:
        """Watch until a final status; leaving waits for it for some seconds."""
        task = asyncio.create_task(self._follow())
        try:
            yield self
            await asyncio.wait_for(task, within)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
