"""Which uploads are due, from all buckets: the earliest first, page by page.

Each round asks every bucket that may have more for its next page. What is earlier than the end of each such page can be
yielded: no bucket can have anything earlier. The rest waits for the next round.

    bucket 00   10  11  40                    the earliest end of a page is 33: 10 11 20 21 30 32 33 are yielded now,
    bucket 01   20  32  33  ...more           and 40, 51 after the next round
    bucket 02   21  30  51  ...more
"""

from bisect import bisect_right
from collections.abc import AsyncIterator
from dataclasses import dataclass
from math import inf
from typing import Any

from onward.protocol.model import UploadId
from onward.storage.state.redis.commands import Commands
from onward.storage.state.redis.keys import BUCKETS, Bucket

DUE_BATCH = 1000  # ids that one round returns at most, about
Due = tuple[float, bytes]  # when an upload is due, and its id


@dataclass(slots=True)
class _Cursor:
    """How far one bucket has been read."""

    bucket: Bucket
    last: Due = (-inf, b"")
    known: int = 0  # ids to skip: they have the same due time as the last one, and were read already

    def take(self, page: list[tuple[bytes, float]]) -> list[Due]:
        """Return what is new in a page, and move on."""
        fresh = [(at, raw) for raw, at in page if (at, raw) > self.last]
        self.last, self.known = (fresh[-1], 0) if fresh else (self.last, self.known + len(page))
        return fresh


async def all_due(commands: Commands, now: float) -> AsyncIterator[UploadId]:
    """Yield the ids of the records that are due; records may change between two pages. Raises Unreachable."""
    size = -(-DUE_BATCH // len(BUCKETS))
    cursors = [_Cursor(bucket) for bucket in BUCKETS]
    waiting: list[Due] = []

    def ask(pipeline: Any, cursor: _Cursor) -> None:
        pipeline.zrangebyscore(cursor.bucket.due, cursor.last[0], now, start=cursor.known, num=size, withscores=True)

    while cursors:
        pages = await commands.of_each(cursors, ask)
        for cursor, page in zip(cursors, pages, strict=True):
            waiting += cursor.take(page)
        waiting.sort()
        cursors = [cursor for cursor, page in zip(cursors, pages, strict=True) if len(page) == size]
        earliest_end = min((cursor.last for cursor in cursors), default=(inf, b""))
        count = bisect_right(waiting, earliest_end)
        for _, raw in waiting[:count]:
            yield UploadId(raw.decode("ascii", "replace"))
        waiting = waiting[count:]
