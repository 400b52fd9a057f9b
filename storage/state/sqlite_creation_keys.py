"""The keys of creations in SQLite: one table, which stays empty unless clients send keys."""

import sqlite3

from onward.protocol.model import UploadId
from onward.storage.base import Binding
from onward.storage.state.sqlite_outbox import Do

SCHEMA = """
CREATE TABLE IF NOT EXISTS creation_keys (key TEXT PRIMARY KEY, upload TEXT, request TEXT, until REAL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS creation_keys_until ON creation_keys (until);
"""


class SqliteCreationKeys:
    """Keys in the table; each method is one job of the state's thread.

    A binding is not synced by itself. The record that is inserted after it is, and so is all that was committed before.
    """

    def __init__(self, do: Do) -> None:
        self._do = do

    async def bind(
        self, key: str, binding: Binding, *, now: float, kept: float, instead_of: Binding | None = None
    ) -> Binding:
        """Bind a key, unless it is bound to another upload."""

        def work(db: sqlite3.Connection) -> Binding:
            query = "SELECT upload, request FROM creation_keys WHERE key = ? AND until > ?"
            row = db.execute(query, (key, now)).fetchone()
            known = row and Binding(id=UploadId(row[0]), request=row[1])
            if known and known != instead_of:
                return known
            replace = "INSERT OR REPLACE INTO creation_keys VALUES (?, ?, ?, ?)"
            db.execute(replace, (key, binding.id, binding.request, now + kept))
            return binding

        bound: Binding = await self._do(work)
        return bound

    async def unbind(self, key: str, id: UploadId) -> None:
        """Forget a key if it stands for this upload."""
        forget = "DELETE FROM creation_keys WHERE key = ? AND upload = ?"
        await self._do(lambda db: db.execute(forget, (key, id)).close())

    async def tidy(self, now: float) -> None:
        """Remove the keys whose time is over."""
        await self._do(lambda db: db.execute("DELETE FROM creation_keys WHERE until <= ?", (now,)).close())
