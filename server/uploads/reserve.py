"""The room on the disk: what it has been promised for, and the reserve (`--reserve`) that stays free.

Two budgets are kept, both in bytes beyond the reserve:

    head    the free bytes, less those that the bodies and joins under way may still store
    slack   the free bytes, less those that unfinished uploads have been promised and have not sent yet

A body may begin if it fits into the head, so that bodies that arrive at the same time do not use up the reserve. An
upload may be created if its length fits into the slack, so that all accepted uploads can finish. Bytes that were not
promised (an upload whose length is unknown) need both. The free bytes are read at most once a second; in between the
budgets are counted here. They may be too low for a moment, but never too high: the promises are read before the
free bytes, and bytes are stored before they are counted as stored. With each reading, several servers learn of each
other's promises. Called by the engine and completion.py.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf

from onward.protocol.errors import StorageFull
from onward.protocol.model import Upload
from onward.protocol.promises import Promise
from onward.server.uploads.body_writer import BLOCK, Write
from onward.storage.base import Block, Storage, StorageError

ROOM_STAYS = 1.0  # seconds that the free bytes are used before they are read again
log = logging.getLogger("onward")


class Claim:
    """Bytes that one body may still store.

    `extra` says that they have not been promised. `pending` bytes have been promised, but that is not recorded yet.
    A body of unknown size claims some bytes ahead each time, at most as many as the upload lacks.
    """

    def __init__(self, reserve: "Reserve", upload: Upload, *, ahead: int, pending: int) -> None:
        self._reserve, self._ahead, self._pending = reserve, ahead, pending
        self._extra = upload.length is None
        self._most = inf if upload.length is None else upload.length - upload.offset
        self._start = self._reached = upload.offset
        self._size = self._stored = 0
        reserve.claims.add(self)

    def counted(self, write: Write) -> Write:
        """Return a function that stores a block and counts its bytes; it may be called in any thread."""

        def counting(block: Block, at: int) -> None:
            write(block, at)
            self._reached = at + len(block)

        return counting

    def wrote(self, count: int) -> None:
        """Count bytes that were stored in another way than by `counted`."""
        self._reached += count

    def recorded(self) -> None:
        """Note that the length is now in the record, so that the state counts its promise."""
        self._reserve.recorded(self._pending)
        self._pending = 0

    async def note(self) -> None:
        """Count what was stored, and claim more; raises StorageFull if the reserve is being used up."""
        self.count()
        await self._reserve.check()
        if self._ahead:
            self.claim(self._ahead)

    def claim(self, more: int) -> None:
        """Claim `more` bytes beyond those that are stored; raises StorageFull."""
        lacking = int(min(self._stored + more, self._most)) - self._size
        if lacking > 0:
            self._reserve.add(lacking, extra=self._extra)
            self._size += lacking

    def end(self) -> None:
        """Give back what was not stored."""
        self.count()
        self.recorded()
        self._reserve.claims.discard(self)
        self._reserve.release(self._size - self._stored, extra=self._extra)

    def count(self) -> None:
        """Count the bytes that were stored since the last time."""
        stored = self._reached - self._start
        self._reserve.store(stored - self._stored, extra=self._extra)
        self._stored = stored


class Reserve:
    """The room of a storage, of which `keep` bytes stay free. With 0 the disk is never asked, and all is allowed."""

    def __init__(self, storage: Storage, keep: int) -> None:
        self._storage, self._keep = storage, keep
        self._ahead = storage.blobs.stride.bytes + 2 * BLOCK  # bytes that a body of unknown size claims at a time
        self._seen = -ROOM_STAYS
        self._unknown = True  # the free bytes have not been read yet, or there are none to count
        self._free = self._head = self._slack = 0
        self._claimed = self._claimed_extra = 0  # bytes that work under way may still store
        self._stored = self._stored_extra = 0  # bytes stored since the start
        self._pending = self._promised = 0  # bytes promised but not recorded yet; bytes promised since the start
        self._sums = Promise()
        self.claims: set[Claim] = set()
        self._looking = asyncio.Lock()

    async def check(self) -> None:
        """Check that the reserve is not used up; raises StorageFull."""
        if self._is_stale():
            await self._look()
        self._check()

    def look_again(self) -> None:
        """Read the free bytes again before the next answer, since bytes were removed."""
        self._seen = -inf

    async def promise(self, size: int) -> None:
        """Promise room to an upload; raises StorageFull. The caller calls `recorded` once it was saved or refused."""
        if self._is_stale():
            await self._look()
        self._check()
        self._promise(size)

    async def claim_body(self, recorded: Upload, upload: Upload, size: int | None) -> Claim:
        """Claim room for a body; its request may have declared the length of the upload. Raises StorageFull.

        `size` is that of the body, None if unknown. The caller has to `end` the claim.
        """
        if self._is_stale():
            await self._look()
        self._check()
        declared = 0
        if recorded.length is None and upload.length is not None:
            declared = upload.length - upload.offset
            self._promise(declared)
        claim = Claim(self, upload, ahead=self._ahead if size is None else 0, pending=declared)
        try:
            claim.claim(self._ahead if size is None else size)
        except StorageFull:
            claim.end()
            raise
        return claim

    @contextmanager
    def claim_join(self, size: int) -> Iterator[None]:
        """Claim room for a copy of parts while they are joined; it was promised when the upload was created."""
        self._claim(size, extra=True)
        try:
            yield
        finally:
            self.store(size, extra=True)

    async def joined_size(self, lengths: Sequence[int]) -> int:
        """Return how many bytes it takes to join parts of these lengths; 0 if there is no reserve."""
        return await self._storage.blobs.joined_size(lengths) if self._keep else 0

    def add(self, size: int, *, extra: bool) -> None:
        """Add to what is claimed; raises StorageFull."""
        if not self._unknown and (size > self._head or (extra and size > self._slack)):
            raise StorageFull("There is no room for that many bytes.")
        self._claim(size, extra=extra)

    def store(self, count: int, *, extra: bool) -> None:
        """Count claimed bytes as stored."""
        self._claimed -= count
        self._stored += count
        if extra:
            self._claimed_extra -= count
            self._stored_extra += count

    def release(self, count: int, *, extra: bool) -> None:
        """Take back what was claimed and not stored."""
        self._claim(-count, extra=extra)

    def recorded(self, size: int) -> None:
        """Note that a promise is recorded, or was withdrawn: from now on the sums of the state are right about it."""
        self._pending -= size

    def _claim(self, size: int, *, extra: bool) -> None:
        self._head -= size
        self._claimed += size
        if extra:
            self._slack -= size
            self._claimed_extra += size

    def _promise(self, size: int) -> None:
        if not self._unknown and size > max(self._slack, 0):
            raise StorageFull("There is no room for that many bytes beside what other uploads have been promised.")
        self._slack -= size
        self._promised += size
        self._pending += size

    def _is_stale(self) -> bool:
        return self._keep > 0 and asyncio.get_running_loop().time() - self._seen > ROOM_STAYS

    def _check(self) -> None:
        if not self._unknown and self._free < self._keep:
            raise StorageFull("There is no room for more bytes.")

    async def _look(self) -> None:
        """Read the free bytes and the promises again, unless another request has just done so."""
        loop = asyncio.get_running_loop()
        async with self._looking:
            if loop.time() - self._seen <= ROOM_STAYS:
                return
            pending, promised = self._pending, self._promised
            with suppress(StorageError):  # the earlier sums stay right: nothing new is promised without the state
                self._sums = await self._storage.state.promised()
            for claim in self.claims:  # otherwise bytes of a running body would count twice: as stored and as claimed
                claim.count()
            stored, extra = self._stored, self._stored_extra
            try:
                room = await self._storage.blobs.room()
            except StorageError as fault:  # a write finds the fault itself; until then the last budgets count
                log.warning("the free bytes can't be read: %s", fault)
                return
            self._seen, self._unknown = loop.time(), room is None
            if room is None:
                return
            since = pending + self._promised - promised
            self._free = room.arriving
            self._head = room.arriving - self._keep - self._claimed - (self._stored - stored)
            owed = self._sums.unsent + since + self._claimed_extra + self._stored_extra - extra
            self._slack = room.arriving - self._keep - owed
            if room.published is not None:
                self._slack = min(self._slack, room.published - self._keep - owed - self._sums.kept)
