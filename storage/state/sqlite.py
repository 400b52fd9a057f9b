"""Records and the outbox in one SQLite file, the default state; leases and progress stay inside the process.

What is done is a job of `sqlite_transactions.py`, many of which are committed together. Each caller gets its answer
after the commit, so no offset is acknowledged, and no watcher is notified, before the record is durable.
"""

import os
import sqlite3
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from onward.protocol.events import OutgoingEvent
from onward.protocol.model import Status, Upload, UploadId
from onward.protocol.promises import NOTHING, Promise, promise, sum_of
from onward.storage.base import Crowded, Cursor, Durability, Missing, Page, Stale, StorageError, Unreachable
from onward.storage.codec import decode, encode
from onward.storage.state import sqlite_creation_keys, sqlite_hints, sqlite_list, sqlite_outbox, sqlite_quotas
from onward.storage.state.local import Local
from onward.storage.state.sqlite_file import connect
from onward.storage.state.sqlite_transactions import Transactions, Work

DUE_BATCH = 1000
_UPDATE = """
UPDATE uploads SET version = ?, due = ?, open = ?, document = ?, status = ?, charge = ?, token = ?
WHERE id = ? AND version = ?
"""
_INSERT = """
INSERT INTO uploads (id, version, due, open, document, created, status, owner, charge, token)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
RECENT = 1024  # records that are kept in memory, so that the record of a running upload is not fetched each time


def _fetch(query: str, values: tuple[object, ...], db: sqlite3.Connection) -> list[tuple[float, str]]:
    return db.execute(query, values).fetchall()


def _recorded(db: sqlite3.Connection, id: UploadId) -> Upload | None:
    """Return the record of an upload; None if it is missing or damaged."""
    return next(_sound(db.execute("SELECT document FROM uploads WHERE id = ?", (id,))), None)


def _all_promised(db: sqlite3.Connection) -> Promise:
    return sum_of(_sound(db.execute("SELECT document FROM uploads WHERE open")))


def _sound(rows: Iterable[tuple[bytes]]) -> Iterator[Upload]:
    for (document,) in rows:
        with suppress(Unreachable):
            yield decode(document)


class SqliteState(Local):
    """Records in one SQLite file; the constructor raises Unreachable or Full."""

    def __init__(self, path: Path, durability: Durability = Durability.FULL) -> None:
        super().__init__()
        self.outbox = sqlite_outbox.SqliteOutbox(self._do)
        self.hints = sqlite_hints.SqliteHints(self._do)
        self.creation_keys = sqlite_creation_keys.SqliteCreationKeys(self._do)
        self.quotas = sqlite_quotas.SqliteQuotas(self._do)
        connection = connect(path)
        found = path.stat()
        self._path, self._file = path, (found.st_dev, found.st_ino)
        self._recent: OrderedDict[UploadId, Upload] = OrderedDict()
        self._promised = self._changed = _all_promised(connection)
        self._transactions = Transactions(connection, durability, self)

    async def insert(
        self, upload: Upload, *, durable: bool = True, most: int | None = None, events: Sequence[OutgoingEvent] = ()
    ) -> None:
        """Record a new upload; raises Crowded, Exceeded or Stale."""
        state = (upload.due, not upload.status.final, encode(upload), upload.created, upload.status, upload.owner)

        def work(db: sqlite3.Connection) -> None:
            if db.execute("SELECT 1 FROM uploads WHERE id = ?", (upload.id,)).fetchone():
                raise Stale(upload.id)
            if most is not None and db.execute("SELECT count(*) FROM uploads WHERE open").fetchone()[0] >= most:
                raise Crowded
            self.quotas.check(db, upload)
            db.execute(_INSERT, (upload.id, upload.version, *state, *sqlite_quotas.columns_of(upload)))
            sqlite_outbox.put(db, events)
            self._changed_from(None, upload)

        await self._do(work, durable=durable)
        self._remember(upload)

    async def load(self, id: UploadId, *, fresh: bool = False) -> Upload:
        """Return the record; raises Missing."""
        if not fresh and (recent := self._in_memory(id)):
            return recent
        query = "SELECT document FROM uploads WHERE id = ?"
        row = await self._do(lambda db: db.execute(query, (id,)).fetchone(), durable=None)
        if row is None:
            raise Missing(id)
        return self._remember(decode(row[0]))

    def _in_memory(self, id: UploadId) -> Upload | None:
        if recent := self._recent.get(id):
            with suppress(KeyError):  # a thread that saves the record has removed it at this moment
                self._recent.move_to_end(id)
        return recent

    async def save(
        self,
        upload: Upload,
        *,
        durable: bool = True,
        events: Sequence[OutgoingEvent] = (),
        last: bool = False,  # noqa: ARG002
    ) -> Upload:
        """Replace the record; raises Stale or Missing."""
        saved, work = self._saving(upload, events)
        if not self._leases.proves(upload.id, upload.epoch):
            await self.load(upload.id)
            raise Stale(upload.id)
        try:
            await self._do(work, durable=durable)
        except BaseException:  # it is uncertain which version is in the file
            self._recent.pop(upload.id, None)
            raise
        self._notify(saved)
        return self._remember(saved)

    def save_here(self, upload: Upload, *, durable: bool = True) -> Callable[[], Upload] | None:
        """Save in the thread that calls, unless the connection is in use."""
        saved, work = self._saving(upload, ())
        if not self._leases.proves(saved.id, saved.epoch):
            return None
        self._recent.pop(upload.id, None)  # it is not known again before the caller has taken the result
        if (answer := self._transactions.do_here(work, durable=durable)) is None:
            return None

        def take() -> Upload:
            if isinstance(answer[0], StorageError):
                raise answer[0]
            self._notify(saved)
            return self._remember(saved)

        return take

    def _saving(self, upload: Upload, events: Sequence[OutgoingEvent]) -> tuple[Upload, Work]:
        """Return a record with its next version, and the job that saves it."""
        saved = replace(upload, version=upload.version + 1)
        recent = self._recent.get(upload.id)
        known = recent if recent and recent.version == upload.version else None
        columns = (encode(saved), saved.status, *sqlite_quotas.columns_of(saved))
        new = (saved.version, saved.due, not saved.status.final, *columns)

        def work(db: sqlite3.Connection) -> None:
            before = known or _recorded(db, upload.id)
            if db.execute(_UPDATE, (*new, upload.id, upload.version)).rowcount == 1:
                sqlite_outbox.put(db, events)
                self._changed_from(before, saved)
                return
            found = db.execute("SELECT 1 FROM uploads WHERE id = ?", (upload.id,)).fetchone()
            raise Stale(upload.id) if found else Missing(upload.id)

        return saved, work

    async def forget(self, id: UploadId) -> None:
        """Remove the record."""

        def work(db: sqlite3.Connection) -> None:
            self._changed_from(_recorded(db, id), None)
            db.execute("DELETE FROM uploads WHERE id = ?", (id,))

        await self._do(work, durable=True)
        self._recent.pop(id, None)

    async def probe(self) -> None:
        """Write and sync one row and remove it again; check that the file still has its name."""
        await self._do(self._probe, durable=True)

    def _probe(self, db: sqlite3.Connection) -> None:
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise Unreachable(f"{self._path.name} can't be looked at ({error.strerror})") from error
        if (found.st_dev, found.st_ino) != self._file:
            raise Unreachable(f"{self._path.name} is another file than at the start")
        db.execute("INSERT INTO uploads (id, open) VALUES ('', 0)")
        db.execute("DELETE FROM uploads WHERE id = ''")

    async def promised(self) -> Promise:
        """Return what all unfinished uploads have been promised: summed at the start, and updated by each commit."""
        return self._promised

    async def count_open(self) -> Mapping[Status, int]:
        """Return how many unfinished uploads have each status."""
        rows = await self._do(partial(_fetch, "SELECT status, COUNT(*) FROM uploads WHERE open GROUP BY status", ()))
        return {Status(status): count for status, count in rows}

    def _changed_from(self, earlier: Upload | None, later: Upload | None) -> None:
        """Change the sums as a record changes; the change takes effect when the batch is committed."""
        self.quotas.changed(earlier, later)
        before, after = promise(earlier) if earlier else NOTHING, promise(later) if later else NOTHING
        if before != after:
            unsent, kept = self._changed
            self._changed = Promise(unsent + after.unsent - before.unsent, kept + after.kept - before.kept)

    def begin(self) -> None:
        """Note that a transaction begins."""
        self._changed = self._promised

    def commit(self) -> None:
        """Let the changes of the sums take effect."""
        self._promised = self._changed

    def undo(self) -> None:
        """Forget the sums of a transaction that has failed."""
        self.quotas.forget()

    async def due(self, now: float) -> AsyncIterator[UploadId]:
        """Yield the ids of the records that are due, the earliest first."""
        query = "SELECT due, id FROM uploads WHERE due <= ? AND (due, id) > (?, ?) ORDER BY due, id LIMIT ?"
        last: tuple[float, str] = (float("-inf"), "")
        while rows := await self._do(partial(_fetch, query, (now, *last, DUE_BATCH))):
            for _, id_ in rows:
                yield UploadId(id_)
            last = rows[-1]

    async def page(
        self, *, after: Cursor | None, limit: int, statuses: Collection[Status], owner: str | None = None
    ) -> Page:
        """Return the uploads of one page, the newest first."""
        page: Page = await self._do(lambda db: sqlite_list.read_page(db, after, limit, statuses, owner))
        return page

    async def copy_to(self, path: Path) -> None:
        """Write a copy of all that is committed to a new file; other jobs wait. Raises Unreachable or Full."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("VACUUM INTO ?", (str(path),))

        await self._transactions.do_alone(work)

    async def close(self) -> None:
        """Finish the jobs that wait, and close the file."""
        await self._transactions.close()

    def _remember(self, upload: Upload) -> Upload:
        known = self._recent.get(upload.id)
        if known is None or known.version < upload.version:
            self._recent.pop(upload.id, None)  # not `move_to_end`: a thread may remove it in between
            self._recent[upload.id] = upload
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)
        return upload

    async def _do(self, work: Work, *, durable: bool | None = False, lazy: bool = False) -> Any:
        """Do a job in the next transaction; a lazy one waits a moment for a durable one to go with."""
        return await self._transactions.do(work, durable=durable, lazy=lazy)


async def open_state(_url: str, data: Path, durability: Durability = Durability.FULL, _node: str = "") -> SqliteState:
    """Open state.sqlite in the data folder; raises Unreachable or Full."""
    return SqliteState(data / "state.sqlite", durability)
