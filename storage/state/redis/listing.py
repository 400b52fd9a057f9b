"""One page of the list of all uploads, from all buckets: the newest first.

Each bucket has its ids in the order of their creation. The newest of all is the newest of what the buckets offer next,
as long as each of them offers something; those that have run out are asked for more, all in one round.

    bucket 00   40  11 ...more            40, 33, 32 and 30 are taken. Then bucket 01 is asked, because
    bucket 01   33  32 ...more            it may have something that is newer than 21.
    bucket 02   30  21
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from math import inf
from typing import Any

from onward.protocol.model import Status, Upload, UploadId
from onward.storage.base import Cursor, Page, Unreachable
from onward.storage.codec import decode
from onward.storage.state.redis.commands import Commands
from onward.storage.state.redis.keys import BUCKETS, Bucket, keys_of

SPARE = 6  # ids that a bucket is asked for beyond its share: few buckets run out then


@dataclass(slots=True)
class _Reader:
    """How far one bucket has been read."""

    bucket: Bucket
    last: Cursor
    known: int = 0  # ids to skip: they were created at the same time as the last one, and were read already
    more: bool = True
    offered: deque[Cursor] = field(default_factory=deque)

    def take(self, answer: list[tuple[bytes, float]], size: int) -> None:
        """Offer what is new in an answer."""
        found = [Cursor(created, UploadId(raw.decode("ascii", "replace"))) for raw, created in answer]
        fresh = [place for place in found if place < self.last]
        self.offered += fresh
        self.last, self.known = (fresh[-1], 0) if fresh else (self.last, self.known + len(found))
        self.more = len(found) == size


async def read_page(commands: Commands, after: Cursor | None, limit: int, statuses: Collection[Status]) -> Page:
    """Read one page (`Records.page`); raises Unreachable."""
    places = await _newest(commands, after or Cursor(inf, UploadId("")), limit + 1)
    page = Page([], [], places[limit - 1] if len(places) > limit else None)

    def ask(pipeline: Any, place: Cursor) -> None:
        pipeline.hget(keys_of(place.id).record, "document")

    documents = await commands.of_each(places[:limit], ask) if places else []
    for place, document in zip(places, documents, strict=False):
        if document is None:  # forgotten meanwhile
            continue
        try:
            upload: Upload = decode(document)
        except Unreachable:
            page.damaged.append(place.id)
            continue
        if upload.status in statuses:
            page.uploads.append(upload)
    return page


async def _newest(commands: Commands, after: Cursor, count: int) -> list[Cursor]:
    """Return the places of the newest uploads behind a place."""
    size = 2 * -(-count // len(BUCKETS)) + SPARE
    readers = [_Reader(bucket, after) for bucket in BUCKETS]
    newest: list[Cursor] = []

    def ask(pipeline: Any, reader: _Reader) -> None:
        key, most = reader.bucket.listed, reader.last.created
        pipeline.zrevrangebyscore(key, most, "-inf", start=reader.known, num=size, withscores=True)

    while len(newest) < count:
        if empty := [reader for reader in readers if reader.more and not reader.offered]:
            for reader, answer in zip(empty, await commands.of_each(empty, ask), strict=True):
                reader.take(answer, size)
            continue
        readers = [reader for reader in readers if reader.offered]
        if not readers:
            break
        newest.append(max(readers, key=lambda reader: reader.offered[0]).offered.popleft())
    return newest
