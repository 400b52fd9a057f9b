"""The hints in SQLite: one table, which stays empty unless duplicates share their blocks."""

import sqlite3

from onward.protocol.model import UploadId
from onward.storage.state.sqlite_outbox import Do

SCHEMA = "CREATE TABLE IF NOT EXISTS hints (key TEXT PRIMARY KEY, upload TEXT) WITHOUT ROWID;"


class SqliteHints:
    """Hints in the table; each method is one job of the state's thread."""

    def __init__(self, do: Do) -> None:
        self._do = do

    async def get(self, key: str) -> UploadId | None:
        """Return the upload under a key."""
        row = await self._do(lambda db: db.execute("SELECT upload FROM hints WHERE key = ?", (key,)).fetchone())
        return UploadId(row[0]) if row else None

    async def put(self, key: str, id: UploadId | None) -> None:
        """Replace or remove a hint."""

        def work(db: sqlite3.Connection) -> None:
            if id is None:
                db.execute("DELETE FROM hints WHERE key = ?", (key,))
            else:
                db.execute("INSERT OR REPLACE INTO hints VALUES (?, ?)", (key, id))

        await self._do(work)
