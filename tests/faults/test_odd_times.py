"""A clock that jumps by an hour while a body arrives."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from bodies import Poured

from onward.protocol.errors import Refusal
from onward.protocol.model import AppendRequest, CreateRequest, Limits, Status, UploadId
from onward.server.uploads.clock import Clock
from onward.server.uploads.engine import Engine
from onward.storage import open_storage
from onward.storage.base import Events

PIECE = 2**17
HOUR = 3600.0
LIMITS = Limits(expire_after=HOUR / 2, forget_after=HOUR / 2)


class Fed(Poured):
    """A body that a test feeds."""

    def __init__(self) -> None:
        self.over = False
        self.cut_by: Refusal | None = None
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async def block(self, size: int, until: float) -> bytes:
        try:
            async with asyncio.timeout_at(until):
                piece = await self.pieces.get()
        except TimeoutError:
            return b""
        self.over = self.over or not piece
        return piece

    def cut(self, why: Refusal) -> None:
        self.over, self.cut_by = True, why
        self.pieces.put_nowait(b"")


class Watcher:
    """Whoever follows an upload."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    @asynccontextmanager
    async def watching(self, events: Events, id: UploadId) -> AsyncIterator[None]:
        """Note what is told."""
        async with events.subscribe(id) as steps:
            task = asyncio.create_task(self._follow(steps.__anext__))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _follow(self, step: Callable[[], Any]) -> None:
        while True:
            self.messages.append(json.loads((await step()).json))

    async def until(self, count: int) -> None:
        """Wait until that many bytes are told."""
        async with asyncio.timeout(10):
            while not self.messages or self.messages[-1]["uploadedBytes"] < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def check(self) -> None:
        """Check that time and bytes make sense."""
        for before, after in pairwise(self.messages):
            assert after["seq"] > before["seq"]
            assert after["uploadedBytes"] >= before["uploadedBytes"]
        for message in self.messages:
            assert message["bytesPerSecond"] >= 0
            assert message["etaSeconds"] is None or message["etaSeconds"] >= 0


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
async def test_a_clock_that_jumps_in_the_middle_of_a_body_disturbs_nobody(
    jump: float, state_url: str, tmp_path: Path
) -> None:
    ahead, watcher, data = 0.0, Watcher(), os.urandom(4 * PIECE)
    storage = await open_storage(state=state_url, blobs="file:", data=tmp_path)
    engine = Engine(storage, LIMITS, lease_wait=1, clock=Clock(lambda: time.time() + ahead))
    create = CreateRequest(length=4 * PIECE, metadata=None, promised=None, body_size=0, has_body=False)
    upload, body = await engine.create(create), Fed()
    async with watcher.watching(storage.state, upload.id):
        request = AppendRequest(offset=0, length=None, promised=None, body_size=4 * PIECE)
        sending = asyncio.create_task(engine.append(upload.id, request, body))
        for number in range(3):
            body.pieces.put_nowait(data[number * PIECE : (number + 1) * PIECE])
            await watcher.until((number + 1) * PIECE)
            if number == 0:
                ahead = jump
                assert await engine.sweep.all() == 0, "an upload was taken from who sends it"
        body.pieces.put_nowait(b"")
        version, body = (await sending).version, Fed()
        await engine.sweep.all()
        upload = await engine.inspect(upload.id)
        assert (upload.offset, upload.version >= version) == (3 * PIECE, True)
        judge = jump if state_url == "sqlite:" else 0.0  # over Redis that of Redis is the time of all
        assert upload.expires == pytest.approx(time.time() + judge + HOUR / 2, abs=60)
        body.pieces.put_nowait(data[3 * PIECE :])
        body.pieces.put_nowait(b"")
        request = AppendRequest(offset=3 * PIECE, length=None, promised=None, body_size=PIECE)
        assert (await engine.append(upload.id, request, body)).status is Status.COMPLETED
        await watcher.until(4 * PIECE)
        ahead = 0.0  # it is set right again
        await engine.sweep.all()
        assert (await engine.published(upload.id)).offset == 4 * PIECE
        assert (tmp_path / "files" / upload.id).read_bytes() == data
    await engine.close()
    watcher.check()
