"""The outbox in SQLite: one table, written in the same transactions as the records.

Only the first event of a queue (one upload, one target) has a `due` time; the others have none until it is their turn.
So to claim events is one look into the index of due times, however many wait. Failed events stay in the table without a
due time. Claims are kept in memory only, because one process has the file to itself, and they end with it.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from math import inf
from typing import Any, NamedTuple, Protocol

from onward.protocol.events import OutgoingEvent
from onward.protocol.model import UploadId
from onward.storage.base import Claimed, OutboxCounts

PAGE = 200  # events that are fetched at a time
COLUMNS = "number, target, id, upload, seq, body, since, due, attempts, failed"
SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    number INTEGER PRIMARY KEY, target TEXT, id TEXT, upload TEXT, seq INTEGER, body BLOB, since REAL,
    due REAL, attempts INTEGER, failed INTEGER
);
CREATE UNIQUE INDEX IF NOT EXISTS outbox_queue ON outbox (upload, target, seq);
CREATE INDEX IF NOT EXISTS outbox_due ON outbox (target, due) WHERE due IS NOT NULL;
CREATE INDEX IF NOT EXISTS outbox_failed ON outbox (failed);
"""
_EVENT = "target, id, upload, seq, body, since"
_PUT = f"""
INSERT INTO outbox ({_EVENT}, due, attempts, failed) SELECT ?, ?, ?, ?, ?, ?,
    CASE WHEN EXISTS (SELECT 1 FROM outbox WHERE upload = ? AND target = ? AND NOT failed) THEN NULL ELSE ? END, 0, 0
"""  # noqa: S608 - the names of columns
_CLAIM = f"SELECT attempts, {_EVENT} FROM outbox WHERE target = ? AND due <= ? ORDER BY due LIMIT ?"  # noqa: S608
# Give the first of a queue a due time; it keeps one that it has.
_NEXT = """
UPDATE outbox SET due = ? WHERE due IS NULL AND number =
    (SELECT number FROM outbox WHERE upload = ? AND target = ? AND NOT failed ORDER BY seq LIMIT 1)
"""
_ONE = "upload = ? AND target = ? AND seq = ?"
_LIST = f"""
SELECT {_EVENT} FROM outbox WHERE failed = ? AND (upload, target, seq) > (?, ?, ?)
    ORDER BY upload, target, seq LIMIT ?
"""  # noqa: S608
_COUNT = """
SELECT (SELECT count(*) FROM outbox WHERE failed = 0), (SELECT count(*) FROM outbox WHERE failed = 1),
    (SELECT since FROM outbox WHERE failed = 0 ORDER BY number LIMIT 1)
"""


class _Row(NamedTuple):
    """An event as it is read from the table."""

    target: str
    id: str
    upload: str
    seq: int
    body: bytes
    since: float

    def event(self) -> OutgoingEvent:
        return OutgoingEvent(**{**self._asdict(), "upload": UploadId(self.upload)})


def prepare(db: sqlite3.Connection) -> None:
    """Create the table in a file that has none; raises sqlite3.Error if it lacks a column."""
    db.executescript(SCHEMA)
    db.execute(f"SELECT {COLUMNS} FROM outbox LIMIT 0")  # noqa: S608


def put(db: sqlite3.Connection, events: Iterable[OutgoingEvent]) -> None:
    """Add events to the ends of their queues; part of the transaction that saves a record."""
    for event in events:
        row = (event.target, event.id, event.upload, event.seq, event.body, event.since)
        db.execute(_PUT, (*row, event.upload, event.target, event.since))


def _fetch(query: str, values: tuple[object, ...], db: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return db.execute(query, values).fetchall()


def _key(event: OutgoingEvent) -> tuple[str, str, int]:
    return (event.upload, event.target, event.seq)


class Do(Protocol):
    """A function that does a job in the next transaction, and returns its result."""

    async def __call__(
        self, work: Callable[[sqlite3.Connection], Any], *, durable: bool | None = False, lazy: bool = False
    ) -> Any: ...


class SqliteOutbox:
    """The outbox in the table; each method is one job of the state's thread."""

    def __init__(self, do: Do) -> None:
        self._do = do
        self._claims: dict[tuple[str, str, int], float] = {}  # when each ends

    async def claim(self, target: str, now: float, *, until: float, most: int) -> list[Claimed]:
        """Return events that are due, and hide them until the time `until`."""

        claimed: list[Claimed] = []
        while True:
            limit = most + len(self._claims)
            rows = await self._do(partial(_fetch, _CLAIM, (target, now, limit)), durable=None)
            for attempts, *row in rows:
                event = _Row(*row).event()
                if len(claimed) < most and self._claims.get(_key(event), -inf) <= now:
                    self._claims[_key(event)] = until
                    claimed.append(Claimed(event, attempts))
            if len(claimed) == most or len(rows) < limit:
                return claimed

    async def move_claim(self, event: OutgoingEvent, until: float) -> None:
        """Let a claim end at another time: later, or at once to give the event back."""
        if _key(event) in self._claims:
            self._claims[_key(event)] = until

    async def delivered(self, event: OutgoingEvent, now: float) -> bool:
        """Remove an event. Not durable: after a power cut it may be delivered again."""
        return await self._end(event, now, f"DELETE FROM outbox WHERE {_ONE}", durable=False)  # noqa: S608

    async def postpone(self, event: OutgoingEvent, due: float) -> None:
        """Let an event be due again later."""
        update = f"UPDATE outbox SET due = ?, attempts = attempts + 1 WHERE due IS NOT NULL AND {_ONE}"  # noqa: S608
        await self._do(lambda db: db.execute(update, (due, *_key(event))).close())
        self._claims.pop(_key(event), None)

    async def give_up(self, event: OutgoingEvent, now: float) -> bool:
        """Keep an event as failed."""
        keep = f"UPDATE outbox SET failed = 1, due = NULL WHERE {_ONE}"  # noqa: S608
        return await self._end(event, now, keep, durable=True)

    async def _end(self, event: OutgoingEvent, now: float, statement: str, *, durable: bool) -> bool:
        """Take an event out of its queue; the next one is due then. Returns whether there is one."""

        def work(db: sqlite3.Connection) -> bool:
            db.execute(statement, _key(event))
            return db.execute(_NEXT, (now, event.upload, event.target)).rowcount == 1

        followed: bool = await self._do(work, durable=durable, lazy=not durable)
        self._claims.pop(_key(event), None)
        return followed

    async def count(self) -> OutboxCounts:
        """Return how many events wait and have failed."""
        return OutboxCounts(*await self._do(lambda db: db.execute(_COUNT).fetchone()))

    def waiting(self) -> AsyncIterator[OutgoingEvent]:
        """Yield the events that wait."""
        return self._events(failed=False)

    def failed(self) -> AsyncIterator[OutgoingEvent]:
        """Yield the events that were given up."""
        return self._events(failed=True)

    async def _events(self, *, failed: bool) -> AsyncIterator[OutgoingEvent]:
        last: tuple[str, str, int] = ("", "", 0)
        while rows := await self._do(partial(_fetch, _LIST, (failed, *last, PAGE))):
            events = [_Row(*row).event() for row in rows]
            for event in events:
                yield event
            last = _key(events[-1])

    async def retry(self, now: float) -> int:
        """Let all failed events wait again. They get new numbers, so that the numbers stay in the order of `since`."""

        def work(db: sqlite3.Connection) -> int:
            failed = db.execute("SELECT number, upload, target FROM outbox WHERE failed = 1 ORDER BY number").fetchall()
            renew = (
                "UPDATE outbox SET number = (SELECT max(number) + 1 FROM outbox), since = ?, attempts = 0, failed = 0"
            )
            for number, upload, target in failed:
                db.execute(f"{renew} WHERE number = ?", (now, number))
                db.execute("UPDATE outbox SET due = NULL WHERE upload = ? AND target = ?", (upload, target))
                db.execute(_NEXT, (now, upload, target))
            return len(failed)

        count: int = await self._do(work, durable=True)
        return count
