"""A body on its way into a place: blocks, strides, and the SHA-256 beside them.

The order is always bytes, then record; a mid-body stride never records the last byte.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol

from protocol.checksums import Summing
from protocol.errors import BodyMismatch, Refusal, TooLarge
from protocol.model import Licence, Upload
from server.sha256 import Sha256, begun, resumed
from storage.base import Block, Sink, StorageError

BLOCK = 2**19
STRIDE_BYTES = 16 * 2**20
STRIDE_SECONDS = 0.25


class Body(Protocol):
    """The body of a request, as it arrives."""

    @property
    def over(self) -> bool:
        """Tell whether nothing more will come: all has arrived, or it was cut."""

    @property
    def cut_by(self) -> Refusal | None:
        """Give what cut the body short, if anything did."""

    async def block(self, size: int, until: float) -> bytes:
        """Collect about `size` bytes, fewer at the loop's time `until` or when the body is over; never raises."""

    def cut(self, why: Refusal) -> None:
        """End the body now; what has arrived still counts."""


class RunningHash:
    """A hash of the first `offset` bytes, updated off the event loop."""

    def __init__(self, pool: ThreadPoolExecutor, hash_: Summing, offset: int = 0) -> None:
        self.offset = offset
        self._hash = hash_
        self._pool = pool

    def take(self, block: Block) -> None:
        """Add the next block, in a thread of the caller's."""
        self._hash.update(block)
        self.offset += len(block)

    async def update(self, block: bytes) -> None:
        """Add the next block."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self.take, block)

    def digest(self) -> bytes:
        """Give the hash so far."""
        return self._hash.digest()


class RunningSha256(RunningHash):
    """The SHA-256 of the first `offset` bytes."""

    def __init__(self, pool: ThreadPoolExecutor, hash_: Sha256 | None = None, offset: int = 0) -> None:
        self._sha256 = hash_ or begun()
        super().__init__(pool, self._sha256, offset)

    @classmethod
    def of(cls, upload: Upload, pool: ThreadPoolExecutor) -> "RunningSha256 | None":
        """Go on with that of an upload, None where nobody has it."""
        if not upload.offset:
            return cls(pool)
        hash_ = resumed(upload.hashing, upload.offset)
        return cls(pool, hash_, upload.offset) if hash_ else None

    def state(self, offset: int) -> bytes | None:
        """Give its state at an offset, None where it isn't there."""
        return self._sha256.state() if self.offset == offset else None


class _Flight:
    """At most one block between the socket and the store, written and hashed while the next one is read."""

    def __init__(self, sink: Sink, hashes: Sequence[RunningHash]) -> None:
        self._sink, self._hashes = sink, hashes
        self._task: asyncio.Task[None] | None = None

    async def launch(self, block: bytes, at: int) -> None:
        await self.land()
        self._task = asyncio.create_task(self._put(block, at))

    async def land(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            await task

    async def _put(self, block: bytes, at: int) -> None:
        updates = (running.update(block) for running in self._hashes)
        results = await asyncio.gather(self._sink.write(block, at), *updates, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result


async def receive(
    body: Body,
    sink: Sink,
    licence: Licence,
    hashes: Sequence[RunningHash],
    note: Callable[[int], Awaitable[None]],
    *,
    synced: bool = True,
) -> int:
    """Store a body and give the position that it reached; `note` records a position on the way.

    Before a position is told it is durable, unless `synced` is False: then the system has the bytes.

    A body with a checksum is noted nowhere on the way, since it may prove wrong at its end.
    Raises TooLarge for a byte beyond the licence, and the errors of the sink and of `note`; what was noted stays valid.
    """
    loop = asyncio.get_running_loop()
    flight = _Flight(sink, hashes)
    position = noted = licence.start
    due = loop.time() + STRIDE_SECONDS
    try:
        while not body.over:
            block = await body.block(BLOCK, due)
            if len(block) > licence.end - position:
                raise TooLarge("The body is longer than what is left to send.")
            if block:
                await flight.launch(block, position)
                position += len(block)
            if loop.time() < due and position - noted < STRIDE_BYTES:
                continue
            if noted < position < licence.end and licence.checksum is None and not body.over:
                await flight.land()
                if synced:
                    await sink.sync()
                await note(position)
                noted = position
            due = loop.time() + STRIDE_SECONDS
        await flight.land()
    finally:
        with suppress(StorageError):
            await flight.land()
    if synced and position > noted:
        await sink.sync()
    return position


def check_body(body: Body, licence: Licence, summed: RunningHash) -> None:
    """Refuse a body that isn't what its checksum announced, or isn't whole; raises BodyMismatch and what cut it."""
    if body.cut_by is not None:
        raise body.cut_by
    if licence.checksum and summed.digest() != licence.checksum.digest:
        raise BodyMismatch(f"Its {licence.checksum.algorithm} is {summed.digest().hex()}; nothing of it was kept.")
