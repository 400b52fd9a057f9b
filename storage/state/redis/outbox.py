"""The outbox in Redis. All keys of an event are in the bucket of its upload (keys.py), so it is saved with the record.

    {onward:07}:outbox             zset  the names of all events that wait, by the time when they began to
    {onward:07}:documents          hash  the events, by name
    {onward:07}:failed             zset  the names of those that were given up
    {onward:07}:attempts           hash  how many attempts have failed, by name
    {onward:07}:due:TARGET         zset  the ids of the uploads that have events for a target, by the time when the
                                         first one is due; a claim moves that to the time at which it ends
    {onward:07}:ID:queue:TARGET    zset  the ids of the events of an upload for a target, by seq

    A name is "TARGET EVENT_ID".

To find what is due, all buckets have to be asked, in one round. A server does that once in SCAN seconds. In between it
claims what it knows about: the uploads for which it has just saved events, and what was left over from the last round.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from math import inf
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from onward.protocol.events import OutgoingEvent
from onward.protocol.model import UploadId
from onward.storage.base import Claimed, OutboxCounts
from onward.storage.state.redis import outbox_scripts as scripts
from onward.storage.state.redis.commands import Commands
from onward.storage.state.redis.keys import BUCKETS, Bucket, bucket_of

SCAN = 1.0  # seconds from one look into all buckets to the next
KNOWN = 10_000  # uploads that are remembered for a target; the others are found by the next look
PAGE = 200  # events that are read at a time
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(OutgoingEvent)


class _Keys(NamedTuple):
    """The keys of an event."""

    outbox: str
    documents: str
    failed: str
    attempts: str
    due: str
    queue: str


def _keys(id: UploadId, target: str) -> _Keys:
    tag = bucket_of(id).tag
    return _Keys(
        f"{tag}:outbox",
        f"{tag}:documents",
        f"{tag}:failed",
        f"{tag}:attempts",
        _due(bucket_of(id), target),
        f"{tag}:{id}:queue:{target}",
    )


def _due(bucket: Bucket, target: str) -> str:
    return f"{bucket.tag}:due:{target}"


def _name(event: OutgoingEvent) -> str:
    return f"{event.target} {event.id}"


def put_arguments(events: Iterable[OutgoingEvent]) -> tuple[list[str], list[str | bytes | float]]:
    """Return the further keys and arguments of a script that contains PUT; nothing if there are no events."""
    keys: list[str] = []
    arguments: list[str | bytes | float] = []
    for event in events:
        found = _keys(event.upload, event.target)
        keys += [found.due, found.queue] if keys else [found.outbox, found.documents, found.due, found.queue]
        arguments += [_name(event), event.id, event.seq, event.since, _encoder.encode(event)]
    return keys, arguments


class RedisOutbox:
    """The outbox; see the top of this file. Every method raises Full or Unreachable."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._known: defaultdict[str, deque[UploadId]] = defaultdict(lambda: deque(maxlen=KNOWN))
        self._looked: defaultdict[str, float] = defaultdict(lambda: -inf)  # the loop's time, for each target

    def note(self, events: Iterable[OutgoingEvent]) -> None:
        """Remember that these events were just saved, so that they are found at once."""
        for event in events:
            self._known[event.target].append(event.upload)

    async def claim(self, target: str, now: float, *, until: float, most: int) -> list[Claimed]:
        """Return events that are due, and hide them until the time `until`."""
        known, loop = self._known[target], asyncio.get_running_loop()
        if loop.time() - self._looked[target] >= SCAN:
            self._looked[target] = loop.time()
            known.extend(await self._look(target, now, most))
        claimed: list[Claimed] = []
        while known and len(claimed) < most:
            ids = dict.fromkeys(known.popleft() for _ in range(min(most - len(claimed), len(known))))
            found = await asyncio.gather(*(self._claim(id_, target, now, until) for id_ in ids))
            claimed += [each for each in found if each is not None]
        return claimed

    async def _look(self, target: str, now: float, most: int) -> list[UploadId]:
        """Return the uploads that have something due, the longest due first; `most` of each bucket."""

        def ask(pipeline: Any, bucket: Bucket) -> None:
            pipeline.zrangebyscore(_due(bucket, target), "-inf", now, start=0, num=most, withscores=True)

        pages = await self._commands.of_each(BUCKETS, ask)
        due = sorted((at, raw) for page in pages for raw, at in page)
        return [UploadId(raw.decode("ascii", "replace")) for _, raw in due]

    async def _claim(self, id: UploadId, target: str, now: float, until: float) -> Claimed | None:
        keys = _keys(id, target)
        found = await self._commands.run(
            scripts.CLAIM, (keys.documents, keys.attempts, keys.due, keys.queue, keys.outbox), id, target, now, until
        )
        return Claimed(_decoder.decode(found[0]), int(found[1])) if found else None

    async def move_claim(self, event: OutgoingEvent, until: float) -> None:
        """Let a claim end at another time: later, or at once to give the event back."""
        await self._move(event, until, failed=False)

    async def delivered(self, event: OutgoingEvent, now: float) -> bool:
        """Remove an event."""
        return await self._end(event, now, keep=False)

    async def postpone(self, event: OutgoingEvent, due: float) -> None:
        """Let an event be due again later."""
        await self._move(event, due, failed=True)

    async def give_up(self, event: OutgoingEvent, now: float) -> bool:
        """Keep an event as failed."""
        return await self._end(event, now, keep=True)

    async def count(self) -> OutboxCounts:
        """Return how many events wait and have failed."""

        def ask(pipeline: Any, bucket: Bucket) -> None:
            pipeline.zcard(f"{bucket.tag}:outbox")
            pipeline.zcard(f"{bucket.tag}:failed")
            pipeline.zrangebyscore(f"{bucket.tag}:outbox", "-inf", "+inf", start=0, num=1, withscores=True)

        answers = await self._commands.of_each(BUCKETS, ask)
        oldest = [at for first in answers[2::3] for _, at in first]
        return OutboxCounts(sum(answers[0::3]), sum(answers[1::3]), min(oldest, default=None))

    def waiting(self) -> AsyncIterator[OutgoingEvent]:
        """Yield the events that wait."""
        return self._events("outbox")

    def failed(self) -> AsyncIterator[OutgoingEvent]:
        """Yield the events that were given up."""
        return self._events("failed")

    async def retry(self, now: float) -> int:
        """Let all failed events wait again."""
        count = 0
        for event in [event async for event in self._events("failed")]:
            document = _encoder.encode(replace(event, since=now))
            arguments = (event.upload, _name(event), event.id, event.seq, now, document)
            count += await self._commands.run(scripts.RETRY, _keys(event.upload, event.target), *arguments)
            self.note([event])
        return count

    async def _move(self, event: OutgoingEvent, due: float, *, failed: bool) -> None:
        keys = _keys(event.upload, event.target)
        arguments = (event.upload, _name(event), event.id, due, int(failed))
        await self._commands.run(scripts.MOVE, (keys.due, keys.queue, keys.attempts), *arguments)

    async def _end(self, event: OutgoingEvent, now: float, *, keep: bool) -> bool:
        arguments = (event.upload, _name(event), event.id, now, int(keep))
        followed = bool(await self._commands.run(scripts.END, _keys(event.upload, event.target), *arguments))
        if followed:
            self.note([event])
        return followed

    async def _events(self, kind: str) -> AsyncIterator[OutgoingEvent]:
        """Yield the events whose names are in one of the sorted sets of each bucket."""
        client: Any = self._commands.client
        for bucket in BUCKETS:
            start = 0
            while names := await self._commands.call(client.zrange(f"{bucket.tag}:{kind}", start, start + PAGE - 1)):
                documents: Sequence[bytes | None] = await self._commands.call(
                    client.hmget(f"{bucket.tag}:documents", names)
                )
                for document in documents:
                    if document is not None:
                        yield _decoder.decode(document)
                start += PAGE
