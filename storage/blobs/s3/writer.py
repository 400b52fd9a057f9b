"""Writing one body to an object store: parts in order, one on its way at a time, and the rest as a tail.

    write      a block is kept in memory                                     in a worker thread
      full     two parts are in memory, or the budget is used up
    sending    tail + blocks ──▶ UploadPart, as soon as they fill a part     a task, beside the receiving
    sync       the position behind the last part, for the record
      ended    the blocks that fill no part ──▶ PutObject under a new key: the new tail

Nothing that a record may name is ever changed: a part number is used once, and each tail is a new object. So a crash at
any moment leaves what the record says. A part that was sent and not recorded is in no record, and is dropped when the
object is completed.

**Part numbers.** A former holder of the lease, or a process that has died, may have a part on its way that S3 has not
taken yet. It had one at most, since they go in order. So whoever continues asks S3 for the highest number that is
taken, and skips one. That is not needed if this process itself has received the last body, and that has ended well
(place_cache.py).
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple

from msgspec.structs import replace

from onward.storage.base import NOTHING_SAID, About, Block, Stale, StorageError, Unreachable
from onward.storage.blobs.s3.client import S3Client, Sender
from onward.storage.blobs.s3.memory import GRANT, Memory
from onward.storage.blobs.s3.object_headers import object_params
from onward.storage.blobs.s3.place_cache import CachedPlace, PlaceCache
from onward.storage.blobs.s3.send_queue import SendQueue
from onward.storage.blobs.s3.settings import MIB
from onward.storage.blobs.s3.spot import Spot, Tail
from onward.storage.failpoints import reach
from onward.storage.running.uncancellable import uncancellable

LAST_PART = 10_000  # the highest part number of S3
USED = 0.9  # the share of the part numbers that parts of one size are to use; the rest is for those that are skipped
GROWS_FROM, GROWS_EVERY = 5000, 500  # part numbers: an upload of unknown length doubles its parts there
TAIL_AFTER = 60.0  # seconds after which bytes that fill no part are stored as a tail
TAIL_AFTER_IF_SCARCE = 1.0  # the same, while bodies wait for memory
GRANTS = 4  # the most grants of memory that a body takes at once, if it fills them quickly
log = logging.getLogger("onward")


def part_size(least: int, spot: Spot, number: int, at: int, length: int | None) -> int:
    """Return the size of the next part: the same for all of an upload, unless its numbers would not suffice."""
    size = max(least, spot.runs[-1].size if spot.runs else 0)
    if length is None:
        grown = max(number - GROWS_FROM, 0) // GROWS_EVERY + (number > GROWS_FROM)
        return max(size, least << grown)
    numbers = max(int((LAST_PART - number) * USED), 1)
    needed = -(-(length - at) // numbers)
    return size if needed <= size else -(-needed // MIB) * MIB


def tail_key(spot: Spot, name: str) -> str:
    """Return the key of a tail."""
    return f"tails/{spot.id}.{name}"


def whole_key(spot: Spot) -> str:
    """Return the key of the whole object: the final one, or the private one, or that of an interrupted copy."""
    if spot.copy is not None:
        return f"files/{spot.copy}"
    return f"files/{spot.id}" if spot.direct else f"partial/{spot.id}"


class PartWriter:
    """An open place of an object store.

    `known` is what this process knows of the place, and `length` that of the whole upload, if it is known. `about` says
    what the object tells of the file if it is begun under its final key: S3 takes that at the beginning, and only then.
    """

    def __init__(
        self,
        client: S3Client,
        memory: Memory,
        spot: Spot,
        *,
        least: int,
        direct: bool,
        length: int | None,
        about: Callable[[], About],
        known: CachedPlace | None,
        holds: Callable[[], bool],
    ) -> None:
        self.place = spot.place()
        self._client, self._memory, self._spot, self._holds = client, memory, spot, holds
        self._least, self._direct, self._length, self._about = least, direct, length, about
        self._durable = self._end = spot.size
        self._queue = SendQueue(memory)
        self._on_way = self._granted = 0  # bytes: in the part that is being sent, taken
        self._attempts = 0  # to send it
        self._number = known.number if known else None
        self._tail = known.tail if known else ()
        self._superseded = list(known.superseded) if known else []
        self._sending: asyncio.Task[None] | None = None
        self._fault: StorageError | None = None
        self._whole = True  # everything that was written is durable
        self._loop = asyncio.get_running_loop()
        self._stored_at = self._loop.time()
        self._ends: deque[int] = deque()  # of parts that are full and not on their way yet
        first = part_size(least, spot, self._next_number, spot.in_parts, length)
        self.boundary = max(spot.in_parts + first, spot.size)

    def write(self, block: Block, at: int) -> None:
        """Keep a copy of the next block."""
        if at != self._end:
            raise Unreachable(f"a block for {at} came at {self._end}")
        self._queue.add(block)
        self._end += len(block)
        while self._end >= self.boundary:
            self._ends.append(self.boundary)
            self.boundary += part_size(self._least, self._spot, self._next_number, self.boundary, self._length)
        self._whole = False
        if self._ends:
            self._loop.call_soon_threadsafe(self._advance)

    @property
    def _next_number(self) -> int:
        """Return about which number the part after all that are full will have."""
        return (self._number or self._spot.number) + len(self._ends)

    @property
    def full(self) -> bool:
        """Return whether no further block may come now."""
        return self._fault is not None or bool(self._ends) or not self._has_room

    @property
    def _has_room(self) -> bool:
        return self._granted - self._queue.size - self._on_way >= GRANT

    async def drained(self) -> None:
        """Wait for memory, and until no part is waiting for another one."""
        while True:
            self._advance()
            if self._fault is not None:
                raise self._fault
            if self._ends and self._sending is not None:
                await asyncio.wait({self._sending})
            elif self._has_room:
                return
            elif await self._memory.take(TAIL_AFTER_IF_SCARCE):
                self._granted += GRANT
                for _ in range(GRANTS if self._end > self._durable else 0):
                    if not self._memory.take_now():
                        break
                    self._granted += GRANT
            elif self._sending is None and self._queue.size:
                await self._store_tail()

    async def sync(self, *, ended: bool = False) -> int:
        """Return the position behind the last part or tail; at the end of the body, first store all that is left."""
        self._advance()
        while ended and self._sending is not None:
            await asyncio.wait({self._sending})
        if self._fault is not None:
            raise self._fault
        waited = self._loop.time() - self._stored_at
        urgent = waited > TAIL_AFTER or (self._memory.scarce and waited > TAIL_AFTER_IF_SCARCE)
        if self._sending is None and self._queue.size and (ended or urgent):
            await self._store_tail()
        self.place = self._spot.place()
        self._whole = ended and not self._queue.size
        return self._durable

    async def close(self, known: PlaceCache) -> None:
        """Give the memory back; what was sent and not synced is forgotten."""
        if (sending := self._sending) is not None:
            sending.cancel()
            await uncancellable(asyncio.wait({sending}))
        self._memory.give(self._granted)
        if self._whole and self._fault is None and self._spot.is_named:
            number = 1 if self._number is None and not self._spot.multipart else self._number
            if number is not None:
                known.put(self.place, CachedPlace(number=number, tail=self._tail, superseded=tuple(self._superseded)))

    def _advance(self) -> None:
        """Start to send a part if there is one."""
        if self._sending is None and self._fault is None and self._ends:
            self._sending = asyncio.ensure_future(self._send())

    async def _send(self) -> None:
        try:
            while self._ends:
                await self._send_part()
        except StorageError as fault:
            self._fault = fault
        except Exception:
            log.exception("a part of %s… could not be sent", self._spot.id[:8])
            self._fault = Unreachable("a part could not be sent")
        finally:
            self._sending = None

    async def _send_part(self) -> None:
        end = self._ends.popleft()
        fresh, size = end - self._durable, end - self._spot.in_parts
        blocks = self._take(fresh)
        number = await self._free_number()
        self._check_lease()
        reach("sending")
        etag = await self._client.upload_part(
            whole_key(self._spot), self._spot.multipart, number, self._sender(blocks), size
        )
        if self._spot.tail:
            self._superseded.append(self._spot.tail.name)
        self._spot, self._tail = self._spot.with_part(number, size, etag), ()
        self._number = number + 1
        self._note_stored(fresh)
        reach("sent")

    async def _store_tail(self) -> None:
        blocks = self._take(self._queue.size)
        fresh, before = sum(map(len, blocks)), self._spot.tail
        tail = Tail(secrets.token_hex(6), fresh + (before.size if before else 0))
        self._check_lease()
        reach("sending-tail")
        try:
            await self._client.put(tail_key(self._spot, tail.name), self._sender(blocks), tail.size)
        except StorageError as fault:
            self._fault = fault
            raise
        if before:
            self._superseded.append(before.name)
        complete = self._tail or not before
        fresh_tail = (*self._tail, *map(bytes, blocks)) if complete else ()
        self._spot, self._tail = replace(self._spot, tail=tail), fresh_tail
        self._note_stored(fresh)
        reach("sent-tail")

    def _note_stored(self, fresh: int) -> None:
        self._durable += fresh
        self._on_way = 0
        self._stored_at = self._loop.time()
        self._queue.release(reused=self._attempts == 1)  # a former attempt may still be on its way
        self._granted -= fresh
        self._memory.give(fresh)

    def _take(self, count: int) -> list[memoryview]:
        """Take the next bytes, which are then on their way."""
        self._on_way, self._attempts = count, 0
        return self._queue.take(count)

    def _sender(self, blocks: Sequence[Block]) -> Sender:
        """Return a function that yields the bytes of the tail, and then those of some blocks."""
        spot, kept = self._spot, self._tail

        async def send() -> AsyncIterator[Block]:
            self._attempts += 1
            if spot.tail and not kept:
                async with aclosing(self._client.stream(tail_key(spot, spot.tail.name), 0, spot.tail.size)) as stored:
                    async for old in stored:
                        yield old
            for block in (*kept, *blocks):
                yield block

        return send

    async def _free_number(self) -> int:
        """Return a part number that nobody has used or is using; begins the multipart upload if there is none."""
        if not self._spot.multipart:
            spot = replace(self._spot, direct=self._direct)
            told = object_params(spot.id, self._about() if spot.direct else NOTHING_SAID)
            begun = await self._client.call("create_multipart_upload", whole_key(spot), **told)
            self._spot, self._number = replace(spot, multipart=begun["UploadId"]), 1
        if self._number is None:
            self._number = await unused_number(self._client, self._spot)
        if self._number > LAST_PART:
            raise Unreachable("object storage has no part number left for this upload")
        return self._number

    def _check_lease(self) -> None:
        if not self._holds():
            self._fault = Stale(self._spot.id)
            raise self._fault


async def unused_number(client: S3Client, spot: Spot) -> int:
    """Return the first part number that nobody has used, and that no request which is on its way can have."""
    highest = spot.number - 1
    async for part in parts_of(client, whole_key(spot), spot.multipart, highest):
        highest = max(highest, part.number)
    return highest + 2


class StoredPart(NamedTuple):
    """A part that S3 has."""

    number: int
    size: int
    etag: str
    stored: float  # when, in seconds since the epoch


async def parts_of(client: S3Client, key: str, multipart: str, after: int) -> AsyncIterator[StoredPart]:
    """Yield the parts that S3 has with numbers above `after`, in their order; raises Missing."""
    while True:
        page = await client.call("list_parts", key, UploadId=multipart, PartNumberMarker=after)
        for part in page.get("Parts", ()):
            stored = part["LastModified"].timestamp()
            yield StoredPart(part["PartNumber"], part["Size"], part["ETag"].strip('"'), stored)
        if not page.get("IsTruncated"):
            return
        after = int(page["NextPartNumberMarker"])
