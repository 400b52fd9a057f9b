"""Brings bytes to one upload through whatever interrupts: ask for the offset, resume, wait longer each time."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Protocol, TypeVar

from onward.client.connection import Line, Stored
from onward.client.errors import Interrupted, Refused
from onward.client.model import Options
from onward.client.progress import Track
from onward.client.request_body import Body
from onward.client.retry import Patience

T = TypeVar("T")


class Source(Protocol):
    """Where the bytes of an upload come from; any of them may be asked for again."""

    def blocks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Give the bytes [start, stop)."""


class Sender:
    """Sends to one upload."""

    def __init__(self, line: Line, track: Track, options: Options) -> None:
        self.line = line
        self._track, self._options = track, options
        self._patience = Patience(options.retry_for)

    async def persist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer; raises GivenUp."""
        while True:
            try:
                answer = await ask()
            except Interrupted as fault:
                await self._wait(fault)
            else:
                self._patience.progressed()
                return answer

    async def fill(
        self,
        url: str,
        source: Source,
        stop: int,
        *,
        known: int | None,
        base: int = 0,
        length: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Stored:
        """Send until the server has the bytes up to `stop`; gives what it told last.

        `known` is the offset, if it is known; `base` the place in the source of the upload's first byte; `length` the
        upload's; `headers` go with the request that ends at `stop`.
        """
        last = dict(headers or {})
        furthest, stored = known or 0, None if known is None else Stored(known)
        while True:
            try:
                if stored is None:
                    stored = await self.line.stored(url, length)
                    self._track.stands_at(base + stored.offset)
                    if stored.length is not None:
                        last.pop("Upload-Length", None)  # some servers refuse to be told twice
                if stored.offset > furthest:
                    furthest = stored.offset
                    self._patience.progressed()
                if stored.offset >= stop:
                    return stored
                offset, stored = stored.offset, None
                end = self._end(offset, stop)
                blocks = source.blocks(base + offset, base + end)
                body = Body(blocks, end - offset, stall_after=self._options.stall_after, moved=self._track.moved)
                stored = await self.line.append(url, offset, body, last if end == stop else {})
                if not offset <= stored.offset <= end:
                    raise Refused(f"the server tells offset {stored.offset} after bytes {offset} to {end}")
                self._track.stands_at(base + stored.offset)
                if stored.offset == offset:
                    raise Interrupted("the server has taken no byte")
            except Interrupted as fault:
                await self._wait(fault)

    def _end(self, offset: int, stop: int) -> int:
        """Give where the request from `offset` ends: at a multiple of the chunk size, which some servers ask for."""
        size = self._options.chunk_size
        return min(stop, (offset // size + 1) * size) if size else stop

    async def _wait(self, fault: Interrupted) -> None:
        seconds = self._patience.wait(fault)
        self._track.stuck(str(fault), seconds)
        await asyncio.sleep(seconds)
