"""The outbox of the state in memory: a dictionary of queues, one for each upload and target.

The states in SQLite and Redis have outboxes of their own, with the same rules (`storage/base/outbox.py`).
"""

from bisect import insort
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from onward.protocol.events import OutgoingEvent
from onward.protocol.model import UploadId
from onward.storage.base import Claimed, OutboxCounts


@dataclass(slots=True)
class _Waiting:
    """An event in its queue."""

    event: OutgoingEvent
    due: float
    attempts: int = 0


Queues = dict[tuple[str, UploadId], list[_Waiting]]


class MemoryOutbox:
    """Events in memory; only the first of each queue counts for `claim`."""

    def __init__(self) -> None:
        self._queues: Queues = {}
        self._failed: list[OutgoingEvent] = []

    def put(self, events: Iterable[OutgoingEvent]) -> None:
        """Add events to the ends of their queues."""
        for event in events:
            self._queues.setdefault((event.target, event.upload), []).append(_Waiting(event, event.since))

    def _first(self, event: OutgoingEvent) -> _Waiting | None:
        """Return the first of an event's queue, if it is this event."""
        first = next(iter(self._queues.get((event.target, event.upload), ())), None)
        return first if first is not None and first.event.id == event.id else None

    def _remove(self, event: OutgoingEvent, now: float) -> bool:
        """Take an event out of its queue; the first one that is left is due. Returns False if it is not there."""
        key = event.target, event.upload
        queue = self._queues.get(key, [])
        rest = [waiting for waiting in queue if waiting.event.id != event.id]
        if rest and rest[0] is not queue[0]:
            rest[0].due = now
        self._queues[key] = rest
        if not rest:
            del self._queues[key]
        return len(rest) < len(queue)

    async def claim(self, target: str, now: float, *, until: float, most: int) -> list[Claimed]:
        """Return events that are due, and hide them until the time `until`."""
        firsts = [queue[0] for queue in self._queues.values() if queue[0].event.target == target]
        due = sorted((first for first in firsts if first.due <= now), key=lambda first: first.due)[:most]
        for first in due:
            first.due = until
        return [Claimed(first.event, first.attempts) for first in due]

    async def move_claim(self, event: OutgoingEvent, until: float) -> None:
        """Let a claim end at another time: later, or at once to give the event back."""
        if first := self._first(event):
            first.due = until

    async def delivered(self, event: OutgoingEvent, now: float) -> bool:
        """Remove an event."""
        self._remove(event, now)
        return (event.target, event.upload) in self._queues

    async def postpone(self, event: OutgoingEvent, due: float) -> None:
        """Let an event be due again later."""
        if first := self._first(event):
            first.due, first.attempts = due, first.attempts + 1

    async def give_up(self, event: OutgoingEvent, now: float) -> bool:
        """Keep an event as failed."""
        if self._remove(event, now):
            self._failed.append(event)
        return (event.target, event.upload) in self._queues

    async def count(self) -> OutboxCounts:
        """Return how many events wait and have failed."""
        waiting = [event.since for event in self._all_waiting()]
        return OutboxCounts(len(waiting), len(self._failed), min(waiting, default=None))

    async def waiting(self) -> AsyncIterator[OutgoingEvent]:
        """Yield the events that wait."""
        for event in list(self._all_waiting()):
            yield event

    async def failed(self) -> AsyncIterator[OutgoingEvent]:
        """Yield the events that were given up."""
        for event in list(self._failed):
            yield event

    async def retry(self, now: float) -> int:
        """Let all failed events wait again."""
        failed, self._failed = self._failed, []
        for event in failed:
            queue = self._queues.setdefault((event.target, event.upload), [])
            insort(queue, _Waiting(replace(event, since=now), now), key=lambda waiting: waiting.event.seq)
            queue[0].due = now
        return len(failed)

    def _all_waiting(self) -> Iterator[OutgoingEvent]:
        return (waiting.event for queue in self._queues.values() for waiting in queue)
