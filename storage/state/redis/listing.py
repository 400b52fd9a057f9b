"""One page of the list of all uploads, from all buckets: the newest first.

Each bucket has its ids in the order of their creation. The newest of all is the newest of what the buckets offer next,
as long as each of them offers something; those that have run out are asked for more, all in one round.

    bucket 00   40  11 ...more            40, 33, 32 and 30 are taken. Then bucket 01 is asked, because
    bucket 01   33  32 ...more            it may have something that is newer than 21.
    bucket 02   30  21

The uploads of one owner are read in the same way, from the part of another list that has the entries of that owner.
A page of few statuses looks at more uploads than it may have, and may still be short.
"""

import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from typing import Any

from onward.protocol.model import Status, Upload, UploadId
from onward.storage.base import Cursor, Page, Unreachable
from onward.storage.codec import decode
from onward.storage.state.redis.commands import Commands
from onward.storage.state.redis.keys import BUCKETS, Bucket, hashed, keys_of, owned_entry, owned_place

LOOKED_AT = 500  # uploads that a page of few statuses looks at
PAGE = 500  # uploads that are read at a time to count them
ALL = frozenset(Status)
_STATUS = re.compile(rb'"status":"(%b)"' % "|".join(Status).encode())  # quotes inside of values are escaped
SPARE = 6  # ids that a bucket is asked for beyond its share: few buckets run out then


@dataclass(slots=True)
class _Reader:
    """How far one bucket has been read."""

    bucket: Bucket
    last: Cursor
    known: int = 0  # ids to skip: they were created at the same time as the last one, and were read already
    more: bool = True
    offered: deque[Cursor] = field(default_factory=deque)

    def take(self, found: list[Cursor], size: int) -> None:
        """Offer what is new in an answer."""
        fresh = [place for place in found if place < self.last]
        self.offered += fresh
        self.last, self.known = (fresh[-1], 0) if fresh else (self.last, self.known + len(found))
        self.more = len(found) == size


class _All:
    """The list of all uploads."""

    @staticmethod
    def ask(pipeline: Any, reader: _Reader, size: int) -> None:
        """Ask for the next uploads of a bucket."""
        key, most = reader.bucket.listed, reader.last.created
        pipeline.zrevrangebyscore(key, most, "-inf", start=reader.known, num=size, withscores=True)

    @staticmethod
    def read(answer: list[tuple[bytes, float]]) -> list[Cursor]:
        """Return the places in an answer."""
        return [Cursor(created, UploadId(raw.decode("ascii", "replace"))) for raw, created in answer]


class _Owned:
    """The list of the uploads of one owner."""

    def __init__(self, owner: str) -> None:
        self._owner = owner  # its hash

    def ask(self, pipeline: Any, reader: _Reader, size: int) -> None:
        """Ask for the next uploads of a bucket."""
        last = f"{self._owner};" if reader.last.created == inf else owned_entry(self._owner, reader.last)
        pipeline.zrevrangebylex(reader.bucket.owned, f"({last}", f"[{self._owner}:", start=0, num=size)

    def read(self, answer: list[bytes]) -> list[Cursor]:
        """Return the places in an answer."""
        return [owned_place(entry) for entry in answer]


async def read_page(
    commands: Commands, after: Cursor | None, limit: int, statuses: Collection[Status], owner: str | None
) -> Page:
    """Read one page (`Records.page`); raises Unreachable."""
    looked_at = limit if set(statuses) >= ALL else max(limit, LOOKED_AT)
    places = await _newest(
        commands, _All() if owner is None else _Owned(hashed(owner)), after or Cursor(inf, UploadId("")), looked_at + 1
    )
    page = Page([], [], places[looked_at - 1] if len(places) > looked_at else None)

    def ask(pipeline: Any, place: Cursor) -> None:
        pipeline.hget(keys_of(place.id).record, "document")

    documents = await commands.of_each(places[:looked_at], ask) if places else []
    for count, (place, document) in enumerate(zip(places, documents, strict=False)):
        if len(page.uploads) + len(page.damaged) == limit:
            return Page(page.uploads, page.damaged, places[count - 1])
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


async def count_open(commands: Commands) -> Mapping[Status, int]:
    """Return how many unfinished uploads have each status; raises Unreachable. A record is looked into, not parsed."""

    def ask(pipeline: Any, raw: bytes) -> None:
        pipeline.hget(keys_of(UploadId(raw.decode("ascii", "replace"))).record, "document")

    counts: Counter[Status] = Counter()
    found = await commands.of_each(BUCKETS, lambda pipeline, bucket: pipeline.smembers(bucket.open))
    ids = list(chain.from_iterable(found))
    for start in range(0, len(ids), PAGE):
        documents = await commands.of_each(ids[start : start + PAGE], ask)
        statuses = (_STATUS.search(document) for document in documents if document is not None)
        counts.update(Status(status[1].decode()) for status in statuses if status is not None)
    return counts


async def all_owned(commands: Commands, owner: str) -> AsyncIterator[list[UploadId]]:
    """Yield the ids of all uploads of an owner, whose hash is given, some at a time."""
    last: Cursor | None = Cursor(inf, UploadId(""))
    while last is not None:
        places = await _newest(commands, _Owned(owner), last, PAGE)
        if places:
            yield [place.id for place in places]
        last = places[-1] if len(places) == PAGE else None


async def _newest(commands: Commands, listed: _All | _Owned, after: Cursor, count: int) -> list[Cursor]:
    """Return the places of the newest uploads of a list behind a place."""
    size = 2 * -(-count // len(BUCKETS)) + SPARE
    readers = [_Reader(bucket, after) for bucket in BUCKETS]
    newest: list[Cursor] = []

    def ask(pipeline: Any, reader: _Reader) -> None:
        listed.ask(pipeline, reader, size)

    while len(newest) < count:
        if empty := [reader for reader in readers if reader.more and not reader.offered]:
            for reader, answer in zip(empty, await commands.of_each(empty, ask), strict=True):
                reader.take(listed.read(answer), size)
            continue
        readers = [reader for reader in readers if reader.offered]
        if not readers:
            break
        newest.append(max(readers, key=lambda reader: reader.offered[0]).offered.popleft())
    return newest
