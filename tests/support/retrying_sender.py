"""A client that sends one upload to several servers with retries, and records every reply."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

import aiohttp
import tus_requests as tus
from onward_process import OnwardProcess

MAY_TRY_AGAIN = frozenset({409, 423, 503})  # answers after which a client comes back
PIECE = 32 * 2**10
PAUSE = 0.1  # seconds before another try
PATIENCE = 15.0  # seconds that an answer may take


class Sender:
    """One upload; `ends` are where its PATCHes end, `gate` is where its body waits until it is told to go on,
    and `floor` gives what others were told."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        servers: Sequence[OnwardProcess],
        data: bytes,
        *,
        ends: Sequence[int] = (),
        gate: int | None = None,
        pause: float = 0.0,
        allowed: frozenset[int] = MAY_TRY_AGAIN,
        floor: Callable[[], int] = lambda: 0,
    ) -> None:
        self.data, self.told, self.id = data, 0, ""
        self.statuses: Counter[int] = Counter()
        self.lost = 0  # requests without an answer
        self.waiting = asyncio.Event()
        self.opened = asyncio.Event()
        self._http, self._servers, self._turn = http, servers, 0
        self._ends, self._gate, self._pause = [*ends, len(data)], gate, pause
        self._allowed, self._floor = allowed, floor

    @property
    def sha256(self) -> str:
        """Give the SHA-256 of what is sent."""
        return hashlib.sha256(self.data).hexdigest()

    def url(self, server: OnwardProcess) -> str:
        """Give the URL that the upload has at a server."""
        return f"{server.url}/{self.id}"

    async def create(self) -> None:
        """Create the upload."""
        location = await tus.create(self._http, self._servers[0].url, len(self.data))
        self.id = location.rpartition("/")[2]

    async def finish(self) -> None:
        """Send until everything is told, whatever happens meanwhile."""
        known = True
        while self.told < len(self.data):
            try:
                async with asyncio.timeout(PATIENCE):
                    known = await (self._send() if known else self._ask())
            except (aiohttp.ClientError, TimeoutError):
                self.lost, known = self.lost + 1, False
            if not known:
                self._turn += 1
                await asyncio.sleep(PAUSE)

    async def _ask(self) -> bool:
        floor = self._floor()
        answer = await tus.head(self._http, self.url(self._server))
        return self._take(answer, 200, floor)

    async def _send(self) -> bool:
        if self.told == self._gate and not self.opened.is_set():
            self.waiting.set()
            await self.opened.wait()
        at, floor = self.told, self._floor()
        end = next(end for end in self._ends if end > at)
        answer = await tus.patch(
            self._http, self.url(self._server), at, self._pieces(at, end), Content_Length=str(end - at)
        )
        return self._take(answer, 204, floor)

    @property
    def _server(self) -> OnwardProcess:
        return self._servers[self._turn % len(self._servers)]

    def _take(self, answer: tus.Response, good: int, floor: int) -> bool:
        """Note an answer, and tell whether the offset is known now."""
        self.statuses[answer.status] += 1
        if answer.status != good:
            assert answer.status in self._allowed, (answer.status, answer.method)
            assert answer.status != 503 or int(answer.headers["Retry-After"]) > 0
            return False
        offset = int(answer.headers["Upload-Offset"])
        least = max(self.told, floor)
        assert offset >= least, f"told {least}, and then {offset}"
        self.told = offset
        return True

    async def _pieces(self, at: int, end: int) -> AsyncIterator[bytes]:
        while at < end:
            if self._gate is not None and at >= self._gate and not self.opened.is_set():
                self.waiting.set()
                await asyncio.wait_for(self.opened.wait(), PATIENCE)
            piece = self.data[at : min(at + PIECE, end)]
            yield piece
            at += len(piece)
            await asyncio.sleep(self._pause)
