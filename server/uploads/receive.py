"""Receiving a body, stride by stride: some bytes are written and made durable, then the record is saved, and so on.

The order is always bytes, then record. The last byte is recorded by the engine at the end, never by a stride. While
one stride is made durable and recorded, the next one arrives, if the store allows that:

    arrive    |-- stride 1 --|-- stride 2 --|-- stride 3 --|
    durable                  |- sync, record 1 -|- sync, record 2 -|

A body comes from the socket or from aiohttp's stream. The two ways differ in where the loop over the blocks runs:

    receive              a stride at a time, as the store states it                 this file
      body.pour          "write about so many bytes, until then"                    server/http/transport/body.py
        |
        |-- large, plain body: BodyWriter.run(SocketReader.draw)                    socket_reader.py
        |     one worker thread reads from the socket and calls BodyWriter.take     body_writer.py
        |
        +-- any other: pour_blocks, a loop on the event loop                        server/http/transport/body.py
              body.block collects 512 KiB from the stream
              BodyWriter.put hands them to a worker thread, which calls take        body_writer.py

`BodyWriter.take` is where both ways meet: a block is written to the store and hashed there. A store that sends the
bytes on may be full: then both ways let no block in until it has drained, and the client has to wait. `Body` is what
this file needs of a body, so that nothing here depends on HTTP; tests bring bodies of their own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, Self

from onward.protocol.errors import BodyMismatch, QuotaExceeded, Refusal
from onward.protocol.model import Licence, Upload
from onward.server.uploads.body_writer import BodyWriter
from onward.server.uploads.hashing import RunningHash
from onward.storage.base import BlobWriter, Stride
from onward.storage.running.threads import Answer
from onward.storage.running.uncancellable import disregard


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


async def receive(
    body: Body,
    body_writer: BodyWriter,
    licence: Licence,
    writer: BlobWriter,
    note: Callable[[int, BlobWriter], Awaitable[None]],
    *,
    mark: Callable[[int], None],
    tell: Callable[[], Awaitable[None]],
    stride: Stride,
    check_room: Callable[[], Awaitable[None]],
    head: Head,
    timed: Callable[[Awaitable[int]], Awaitable[int]],
) -> int:
    """Write a body, and return the position up to which it is durable at its end.

    After each stride, `writer` makes bytes durable, `note` records up to where, and `check_room` checks the free room.
    Where nothing is recorded, `tell` lets watchers know that bytes have arrived. Where the writer is steady, the next
    stride arrives meanwhile, and no more than one; `mark` is called in between, with the position that is noted later.
    A store may keep the last bytes in memory until there are more of them, and they are not recorded before they are
    durable. A body with a checksum is not recorded on the way, since it may prove wrong at its end. `head` is judged
    as soon as it is there. `timed` waits for a sync, and notes how long it took.
    Raises TooLarge if the body goes beyond the licence, QuotaExceeded, Failed, and the errors of the store, `note` and
    `check_room`. What was recorded before an error stays recorded.
    """
    loop, noted = asyncio.get_running_loop(), licence.start

    async def record(position: int) -> None:
        nonlocal noted
        if licence.checksum is None and (durable := min(await timed(writer.sync()), position)) > noted:
            await note(durable, writer)
            noted = durable
        else:
            await tell()

    async with _Beside() as beside:
        while not body.over:
            most = head.lacks(body_writer.position) or stride.bytes
            try:
                await body.pour(body_writer, most, loop.time() + stride.seconds)
            except QuotaExceeded:  # what there was room for stays, so that the upload can go on once there is more
                await head.judge(body_writer.position)
                await beside.end()
                if licence.checksum is None and body_writer.position > noted:
                    await note(await timed(writer.sync(ended=True)), writer)
                raise
            await head.judge(body_writer.position)
            if noted < body_writer.position < licence.end and not body.over:
                await beside.end()
                mark(body_writer.position)
                beside.begin(record(body_writer.position))
                if not writer.steady:
                    await beside.end()
                await check_room()
        await beside.end()
    if body_writer.position > noted:
        noted = await timed(writer.sync(ended=True))
    return noted


class _Beside:
    """Work that goes on beside the receiving, one at a time; at the end of the block it is awaited in any case."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for the work. If it was not awaited because of an error, that is raised and not its own."""
        if self._task is not None:
            ended = Answer[None]()  # so that no cancellation ends the wait: the file is closed after it
            self._task.add_done_callback(lambda _: ended.set_result(None))
            await ended
            disregard(self._task)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin some work, after the earlier one has ended."""
        self._task = asyncio.ensure_future(work)

    async def end(self) -> None:
        """Wait until the work has ended; raises what it raises."""
        if self._task is not None:
            task, self._task = self._task, None
            await task


def check_body(body: Body, licence: Licence, summed: RunningHash) -> None:
    """Check a body that came with a checksum; raises BodyMismatch, or what cut it, since nothing of it counts then."""
    if body.cut_by is not None:
        raise body.cut_by
    if licence.checksum and summed.digest() != licence.checksum.digest:
        raise BodyMismatch(f"Its {licence.checksum.algorithm} is {summed.digest().hex()}; nothing of it was kept.")
