"""The seam of the outbox: events that wait until they are delivered to those who asked for them.

An event is written to the outbox in the same step as the change that it tells of (`Records.insert` and
`Records.save`, with `events`). So no change is without its event, and no event tells of a change that did not happen,
whatever crashes. `server/events/delivery.py` takes events out of the outbox and delivers them.

Events of one upload for one target form a queue, in the order of their `seq`. Only the first of a queue can be
claimed; the next one waits until the first was delivered or given up.

    save(upload, events) --> queue of (target, upload):  [seq 4] [seq 9]
                                  | claim: hidden from other claims until a given time
                                  v
                              delivery --- delivered --> removed
                                       --- postpone ---> due again later, one attempt more
                                       --- give_up ----> kept as failed, until `retry`

A claim ends by itself at its time, so that the event of a server that crashed is delivered by another one, or after
the next start. An event may therefore be delivered twice, always with the same `id`.
"""

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from onward.protocol.events import OutgoingEvent


class Claimed(NamedTuple):
    """An event that one server is delivering."""

    event: OutgoingEvent
    attempts: int  # earlier attempts that failed


class OutboxCounts(NamedTuple):
    """What is in the outbox."""

    waiting: int
    failed: int
    oldest: float | None  # since when the oldest event waits, in seconds since the epoch


class Outbox(Protocol):
    """Events that wait for delivery. Every method may raise Unreachable, and Full if it writes.

    Times are in seconds since the epoch, by the clock of the records.
    """

    async def claim(self, target: str, now: float, *, until: float, most: int) -> list[Claimed]:
        """Return up to `most` events that are due for a target, each the first of its queue; roughly the oldest first.

        They are hidden from other claims until the time `until`, unless `delivered`, `postpone` or `give_up` ends the
        claim earlier.
        """

    async def move_claim(self, event: OutgoingEvent, until: float) -> None:
        """Let a claim end at another time: later, or at once to give the event back."""

    async def delivered(self, event: OutgoingEvent, now: float) -> bool:
        """Remove an event; the next one of its queue is due at once. Returns whether there is one. May be repeated."""

    async def postpone(self, event: OutgoingEvent, due: float) -> None:
        """End a claim; the event is due again at the time `due`, with one attempt more."""

    async def give_up(self, event: OutgoingEvent, now: float) -> bool:
        """Keep an event as failed, otherwise like `delivered`. May be repeated."""

    async def count(self) -> OutboxCounts:
        """Return how many events wait and have failed, at a cost that hardly grows with their number."""

    def waiting(self) -> AsyncIterator[OutgoingEvent]:
        """Yield the events that wait, in no particular order."""

    def failed(self) -> AsyncIterator[OutgoingEvent]:
        """Yield the events that were given up, in no particular order."""

    async def retry(self, now: float) -> int:
        """Let all failed events wait again from now on, each at its place in its queue; returns how many."""
