"""A body on its way into a place, stride by stride.

The order is always bytes, then record; a mid-body stride never records the last byte.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from onward.protocol.errors import BodyMismatch, Refusal
from onward.protocol.model import Licence
from onward.server.uploads.body_writer import BodyWriter
from onward.server.uploads.hashing import RunningHash
from onward.storage.base import Block

BLOCK = 2**19  # bytes that are collected before they are let in
STRIDE_BYTES = 16 * 2**20
STRIDE_SECONDS = 0.25


class Body(Protocol):
    """The body of a request, as it arrives."""

    @property
    def over(self) -> bool:
        """Return whether nothing more will come: all has arrived, or it was cut."""

    @property
    def cut_by(self) -> Refusal | None:
        """Return what cut the body short, if anything did."""

    async def pour(self, body_writer: BodyWriter, most: int, until: float) -> None:
        """Let about `most` bytes in, fewer at the loop's time `until` or when the body is over.

        Raises nothing but what the inlet raises; a body that is cut short ends.
        """

    def cut(self, why: Refusal) -> None:
        """End the body now; what has arrived still counts."""


class Blocks(Protocol):
    """A body that is collected."""

    @property
    def over(self) -> bool:
        """Return whether nothing more will come."""

    async def block(self, size: int, until: float) -> Block:
        """Collect about `size` bytes, fewer at the loop's time `until` or when the body is over; never raises."""


async def pour_blocks(body: Blocks, body_writer: BodyWriter, most: int, until: float) -> None:
    """Let in what is collected; one block is stored and hashed while the next one is collected."""
    loop, sent = asyncio.get_running_loop(), 0
    flying: asyncio.Future[None] | None = None
    try:
        while sent < most and not body.over:
            block = await body.block(BLOCK, until)
            if flying:
                flight, flying = flying, None
                await flight
            if block:
                flying, sent = body_writer.put(block), sent + len(block)
            if loop.time() >= until:
                break
    finally:
        if flying:
            await flying


async def receive(
    body: Body,
    body_writer: BodyWriter,
    licence: Licence,
    sync: Callable[[], Awaitable[None]] | None,
    note: Callable[[int], Awaitable[None]],
) -> int:
    """Store a body and give the position that it reached; `note` records a position on the way.

    Before a position is told it is durable, unless there is no `sync`: then the system has the bytes.

    A body with a checksum is noted nowhere on the way, since it may prove wrong at its end.
    Raises TooLarge for a byte beyond the licence, and the errors of the store and of `note`; what was noted stays.
    """
    loop, noted = asyncio.get_running_loop(), licence.start
    while not body.over:
        await body.pour(body_writer, STRIDE_BYTES, loop.time() + STRIDE_SECONDS)
        position = body_writer.position
        if noted < position < licence.end and licence.checksum is None and not body.over:
            if sync:
                await sync()
            await note(position)
            noted = position
    if sync and body_writer.position > noted:
        await sync()
    return body_writer.position


def check_body(body: Body, licence: Licence, summed: RunningHash) -> None:
    """Refuse a body that isn't what its checksum announced, or isn't whole; raises BodyMismatch and what cut it."""
    if body.cut_by is not None:
        raise body.cut_by
    if licence.checksum and summed.digest() != licence.checksum.digest:
        raise BodyMismatch(f"Its {licence.checksum.algorithm} is {summed.digest().hex()}; nothing of it was kept.")
