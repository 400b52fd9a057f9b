"""Receiving a body, stride by stride: some bytes are written and made durable, then the record is saved, and so on.

The order is always bytes, then record. The last byte is recorded by the engine at the end, never by a stride.

A body comes from the socket or from aiohttp's stream. The two ways differ in where the loop over the blocks runs:

    receive              a stride at a time (16 MiB or 0.25 s)                      this file
      body.pour          "write about so many bytes, until then"                    server/http/transport/body.py
        |
        |-- large, plain body: BodyWriter.run(SocketReader.draw)                    socket_reader.py
        |     one worker thread reads from the socket and calls BodyWriter.take     body_writer.py
        |
        +-- any other: pour_blocks, a loop on the event loop                        this file
              body.block collects 512 KiB from the stream                           server/http/transport/body.py
              BodyWriter.put hands them to a worker thread, which calls take        body_writer.py

`BodyWriter.take` is where both ways meet: a block is written to the file and hashed there. `Body` and `Blocks` are the
two sides that this file sees of a body, so that nothing here depends on HTTP; tests bring bodies of their own.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from onward.protocol.errors import BodyMismatch, Refusal
from onward.protocol.model import Licence, Upload
from onward.server.uploads.body_writer import BodyWriter
from onward.server.uploads.hashing import RunningHash
from onward.storage.base import Block

BLOCK = 2**19  # bytes that are collected from the stream before they are written
STRIDE_BYTES = 16 * 2**20  # bytes between two records, or
STRIDE_SECONDS = 0.25  # seconds between two records, whichever comes first


class Body(Protocol):
    """The body of a request, as it arrives."""

    @property
    def over(self) -> bool:
        """Return whether no more bytes will come: all have arrived, or the body was cut."""

    @property
    def cut_by(self) -> Refusal | None:
        """Return the refusal that cut the body short, or None."""

    async def pour(self, body_writer: BodyWriter, most: int, until: float) -> None:
        """Write about `most` bytes, or fewer if the loop's time `until` or the end of the body comes first.

        Raises only what the writer raises; a body that is cut short simply ends.
        """

    def cut(self, why: Refusal) -> None:
        """End the body now; bytes that have arrived are still written."""

    async def tell(self, upload: Upload) -> None:
        """Tell the client what is recorded while it still sends, if its dialect can; raises nothing."""


class Head(Protocol):
    """The first bytes of an upload, which are judged before the rest is received."""

    def lacks(self, position: int) -> int:
        """Return how many bytes have to arrive until it can be judged; 0 if it was judged."""

    async def judge(self, position: int) -> None:
        """Judge it, if it has arrived up to `position` and was not judged yet; raises Failed."""


class Blocks(Protocol):
    """A body from which blocks can be collected."""

    @property
    def over(self) -> bool:
        """Return whether no more bytes will come."""

    async def block(self, size: int, until: float) -> Block:
        """Collect about `size` bytes, or fewer if the loop's time `until` or the end of the body comes first."""


async def pour_blocks(body: Blocks, body_writer: BodyWriter, most: int, until: float) -> None:
    """Write about `most` bytes: one block is written while the next one is collected. Raises what `put` raises."""
    loop, sent = asyncio.get_running_loop(), 0
    writing: asyncio.Future[None] | None = None
    try:
        while sent < most and not body.over:
            block = await body.block(min(BLOCK, most - sent), until)
            if writing:
                earlier, writing = writing, None
                await earlier
            if block:
                writing, sent = body_writer.put(block), sent + len(block)
            if loop.time() >= until:
                break
    finally:
        if writing:
            await writing


async def receive(
    body: Body,
    body_writer: BodyWriter,
    licence: Licence,
    sync: Callable[[], Awaitable[None]] | None,
    note: Callable[[int], Awaitable[None]],
    *,
    check_room: Callable[[], Awaitable[None]],
    head: Head,
) -> int:
    """Write a body, and return the position that was reached.

    After each stride, `sync` makes the bytes durable, `note` records the position, and `check_room` checks the free
    room. Without `sync` the bytes are recorded while only the operating system has them. A body with a checksum is not
    recorded on the way, since it may prove wrong at its end. `head` is judged as soon as it is there.
    Raises TooLarge if the body goes beyond the licence, Failed, and the errors of the store, `note` and `check_room`.
    What was recorded before an error stays recorded.
    """
    loop, noted = asyncio.get_running_loop(), licence.start
    while not body.over:
        most = head.lacks(body_writer.position) or STRIDE_BYTES
        await body.pour(body_writer, most, loop.time() + STRIDE_SECONDS)
        position = body_writer.position
        await head.judge(position)
        if noted < position < licence.end and not body.over:
            if licence.checksum is None:
                if sync:
                    await sync()
                await note(position)
                noted = position
            await check_room()
    if sync and body_writer.position > noted:
        await sync()
    return body_writer.position


def check_body(body: Body, licence: Licence, summed: RunningHash) -> None:
    """Check a body that came with a checksum; raises BodyMismatch, or what cut it, since nothing of it counts then."""
    if body.cut_by is not None:
        raise body.cut_by
    if licence.checksum and summed.digest() != licence.checksum.digest:
        raise BodyMismatch(f"Its {licence.checksum.algorithm} is {summed.digest().hex()}; nothing of it was kept.")
