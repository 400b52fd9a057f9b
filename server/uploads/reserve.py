"""The room on the disk: what it is promised to, and what stays free beside that.

Two budgets, both in bytes beyond the reserve:

    head    what is free, less what the bodies and joins under way may still store
    slack   what is free, less what unfinished uploads have been promised and not yet sent

A body may begin if the head has room for it, so that bodies side by side leave the reserve alone. An upload may be
created if the slack has room for its length, so that no more uploads are taken than can finish. Bytes beyond any
promise (of an upload whose length is not known yet) need both. What is free is looked at once a second at most; in
between the budgets are counted here. They are never above the truth: promises are read before the disk is looked at,
and bytes are stored before they are noted. Several servers learn of one another's promises with each look.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf

from onward.protocol.errors import StorageFull
from onward.protocol.model import Upload
from onward.protocol.promises import Promise
from onward.server.uploads.body_writer import Write
from onward.server.uploads.receive import BLOCK, STRIDE_BYTES
from onward.storage.base import Block, Storage, StorageError

ROOM_STAYS = 1.0  # seconds that a look at the disk counts
AHEAD = STRIDE_BYTES + 2 * BLOCK  # bytes of a body of unknown size that are claimed before they come


class Claim:
    """Bytes that one body may still store. `extra`: nobody promised them. `pending`: promised, and not recorded yet.

    A body of unknown size claims some bytes ahead each time, `most` of them in all.
    """

    def __init__(self, reserve: "Reserve", upload: Upload, *, ahead: int, pending: int) -> None:
        self._reserve, self._ahead, self._pending = reserve, ahead, pending
        self._extra = upload.length is None
        self._most = inf if upload.length is None else upload.length - upload.offset
        self._start = self._reached = upload.offset
        self._size = self._stored = 0

    def counted(self, write: Write) -> Write:
        """Return what stores blocks, and counts them, in whatever thread."""

        def counting(block: Block, at: int) -> None:
            write(block, at)
            self._reached = at + len(block)

        return counting

    async def note(self) -> None:
        """Take note of what was stored and recorded; raises StorageFull if the reserve is being used up."""
        self._settle()
        await self._reserve.check()
        if self._ahead:
            self.claim(self._ahead)

    def claim(self, more: int) -> None:
        """Claim as many bytes beyond those that are stored; raises StorageFull."""
        lacking = int(min(self._stored + more, self._most)) - self._size
        if lacking > 0:
            self._reserve.grant(lacking, extra=self._extra)
            self._size += lacking

    def end(self) -> None:
        """Return back what was not stored."""
        self._settle()
        self._reserve.release(self._size - self._stored, extra=self._extra)

    def _settle(self) -> None:
        stored = self._reached - self._start
        self._reserve.store(stored - self._stored, extra=self._extra)
        self._stored = stored
        self._reserve.recorded(self._pending)
        self._pending = 0


class Reserve:
    """The room of a storage, of which `keep` bytes stay free; 0 looks at nothing."""

    def __init__(self, storage: Storage, keep: int) -> None:
        self._storage, self._keep = storage, keep
        self._seen = -ROOM_STAYS
        self._unknown = not keep
        self._free = self._head = self._slack = 0
        self._claimed = self._claimed_extra = 0  # bytes that work under way may still store
        self._stored = self._stored_extra = 0  # bytes that were stored, ever
        self._pending = self._promised = 0  # bytes promised to what is not recorded yet, and ever
        self._sums = Promise()
        self._looking = asyncio.Lock()

    async def check(self) -> None:
        """Refuse if the reserve is used up; raises StorageFull."""
        if self._is_stale():
            await self._look()
        self._check()

    async def promise(self, size: int) -> None:
        """Promise room to an upload; raises StorageFull. The caller says once it is `recorded`, or could not be."""
        if self._is_stale():
            await self._look()
        self._check()
        self._promise(size)

    async def body(self, recorded: Upload, upload: Upload, size: int | None) -> Claim:
        """Claim room for a body of an upload, whose request may have told its length; raises StorageFull.

        The caller has to `end` the claim.
        """
        if self._is_stale():
            await self._look()
        self._check()
        declared = 0
        if recorded.length is None and upload.length is not None:
            declared = upload.length - upload.offset
            self._promise(declared)
        claim = Claim(self, upload, ahead=AHEAD if size is None else 0, pending=declared)
        try:
            claim.claim(AHEAD if size is None else size)
        except StorageFull:
            claim.end()
            raise
        return claim

    @contextmanager
    def joining(self, size: int) -> Iterator[None]:
        """Claim room for a copy of parts, for other uploads to see; it was promised before."""
        self._claim(size, extra=True)
        try:
            yield
        finally:
            self.store(size, extra=True)

    async def joined_size(self, lengths: Sequence[int]) -> int:
        """Return the room that a join of parts of these lengths takes."""
        return await self._storage.blobs.joining(lengths) if self._keep else 0

    def grant(self, size: int, *, extra: bool) -> None:
        """Add to what is claimed; raises StorageFull."""
        if not self._unknown and (size > self._head or (extra and size > self._slack)):
            raise StorageFull("There is no room for that many bytes.")
        self._claim(size, extra=extra)

    def store(self, count: int, *, extra: bool) -> None:
        """Note that claimed bytes were stored."""
        self._claimed -= count
        self._stored += count
        if extra:
            self._claimed_extra -= count
            self._stored_extra += count

    def release(self, count: int, *, extra: bool) -> None:
        """Take back what was claimed and not stored."""
        self._claim(-count, extra=extra)

    def recorded(self, size: int) -> None:
        """Note that a promise is recorded: from now on the state counts it."""
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
        """Look at the disk again, unless somebody else has just done so."""
        loop = asyncio.get_running_loop()
        async with self._looking:
            if loop.time() - self._seen <= ROOM_STAYS:
                return
            pending, promised = self._pending, self._promised
            with suppress(StorageError):  # the last sums will do: who is promised something has to be recorded anyway
                self._sums = await self._storage.state.promised()
            stored, extra = self._stored, self._stored_extra
            room = await self._storage.blobs.room()
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
