"""The quotas in the SQLite file: what the records say, in two columns beside them, and what bodies have claimed.

A new upload is checked in the transaction that inserts it, so nothing is ever reserved without a record, and nothing
has to be put right after a crash. The sum of each owner is added up when it is first needed, and then changed with each
record. If a transaction fails, all sums are forgotten. Claims are in memory only: they end with the process, as the
bodies do that made them. Called by sqlite.py; all but the methods of the seam are called in its thread.
"""

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from onward.protocol.model import GONE, Upload, UploadId
from onward.protocol.promises import charge
from onward.storage.base import Exceeded, Usage, fitting

INDEXES = """
CREATE INDEX IF NOT EXISTS uploads_owned ON uploads (owner, created, id, charge) WHERE owner IS NOT NULL;
CREATE INDEX IF NOT EXISTS uploads_token ON uploads (token) WHERE token IS NOT NULL;
"""
MOST_SUMS = 10_000  # owners whose sums are remembered
_SUM = "SELECT coalesce(sum(charge), 0) FROM uploads WHERE owner = ?"
_COUNT = "SELECT count(*) FROM uploads WHERE owner = ? AND charge IS NOT NULL"
_UNDER_TOKEN = "SELECT count(*) FROM uploads WHERE token = ? AND owner = ?"  # noqa: S105


def columns_of(upload: Upload) -> tuple[int | None, str | None]:
    """Return the columns `charge` and `token` of a record: None if it has no owner, or was given back."""
    if upload.owner is None or upload.status in GONE:
        return None, None
    return charge(upload), upload.allowance.token if upload.allowance else None


def _charged(db: sqlite3.Connection, id: UploadId) -> int:
    """Return what the record of an upload takes."""
    row = db.execute("SELECT charge FROM uploads WHERE id = ?", (id,)).fetchone()
    return (row[0] or 0) if row else 0


class SqliteQuotas:
    """Sums over the records. `do` runs a function in the thread of the connection, as a transaction."""

    def __init__(self, do: Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]) -> None:
        self._do = do
        self._sums: dict[str, int] = {}  # of each owner: the bytes of its records, or what was claimed if that is more
        self._claimed: dict[UploadId, tuple[str, int]] = {}

    def check(self, db: sqlite3.Connection, upload: Upload) -> None:
        """Check whether a new upload fits; raises Exceeded."""
        if (allowance := upload.allowance) is None or upload.owner is None:
            return
        if allowance.max_uploads is not None:
            (count,) = db.execute(_UNDER_TOKEN, (allowance.token, upload.owner)).fetchone()
            if count >= allowance.max_uploads:
                raise Exceeded(uploads=True)
        if allowance.quota is not None:
            size = charge(upload)
            fitting(size, least=size, reserved=0, others=self._sum(db, upload.owner), quota=allowance.quota)

    def changed(self, before: Upload | None, after: Upload | None) -> None:
        """Note that a record was inserted, replaced or removed."""
        if (known := after or before) is None or known.owner not in self._sums:
            return
        was = max(charge(before) if before else 0, self._claimed_for(known.id))
        if after is None or after.status in GONE:
            self._claimed.pop(known.id, None)
        is_now = max(charge(after) if after else 0, self._claimed_for(known.id))
        self._sums[known.owner] += is_now - was

    def forget(self) -> None:
        """Forget the sums: a transaction was rolled back, and with it changes that are counted in them."""
        self._sums.clear()

    async def claim(self, upload: Upload, size: int, *, least: int) -> int:
        """Reserve more for an upload; raises Exceeded."""
        owner, quota = upload.owner or "", upload.allowance.quota if upload.allowance else None

        def work(db: sqlite3.Connection) -> int:
            reserved = max(_charged(db, upload.id), self._claimed_for(upload.id))
            others = self._sum(db, owner) - reserved
            found = fitting(size, least=least, reserved=reserved, others=others, quota=quota)
            self._claimed[upload.id] = owner, found
            self._sums[owner] += found - reserved
            return found

        found: int = await self._do(work)
        return found

    async def settle(self, upload: Upload) -> None:
        """Reserve what the record says."""

        def work(db: sqlite3.Connection) -> None:
            owner, claimed = self._claimed.pop(upload.id, ("", 0))
            if owner in self._sums:
                self._sums[owner] -= max(claimed - _charged(db, upload.id), 0)

        await self._do(work)

    async def usage(self, owner: str) -> Usage:
        """Return what is reserved for an owner."""

        def work(db: sqlite3.Connection) -> Usage:
            return Usage(self._sum(db, owner), db.execute(_COUNT, (owner,)).fetchone()[0])

        found: Usage = await self._do(work)
        return found

    async def put_right(self) -> None:
        """Do nothing: the records are always right."""

    def _claimed_for(self, id: UploadId) -> int:
        return self._claimed[id][1] if id in self._claimed else 0

    def _sum(self, db: sqlite3.Connection, owner: str) -> int:
        if owner not in self._sums:
            if len(self._sums) >= MOST_SUMS:
                self._sums.clear()
            (total,) = db.execute(_SUM, (owner,)).fetchone()
            for id_, (claimer, claimed) in self._claimed.items():
                if claimer == owner:
                    total += max(claimed - _charged(db, id_), 0)
            self._sums[owner] = total
        return self._sums[owner]
