"""The file of the SQLite state: how it is opened and checked, and what its errors mean. Called by sqlite.py."""

import sqlite3
from pathlib import Path

from onward.storage.base import Full, StorageError, Unreachable
from onward.storage.state import sqlite_hints, sqlite_list, sqlite_outbox

_SCHEMA = """
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, version INTEGER, due REAL, open INTEGER, document BLOB, created REAL, status TEXT,
    owner TEXT, charge INTEGER, token TEXT
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS uploads_due ON uploads (due) WHERE due IS NOT NULL;
CREATE INDEX IF NOT EXISTS uploads_open ON uploads (open) WHERE open;
"""


def fault_of(error: sqlite3.Error) -> StorageError:
    """Return the error of the seam that stands for one of SQLite."""
    full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return (Full if full else Unreachable)(f"SQLite: {error}")


def _check_new(path: Path) -> None:
    """Refuse an empty state if there are bytes of unfinished uploads: the clean-up would remove them as strays."""
    unfinished = path.with_name("partial")
    if unfinished.is_dir() and any(unfinished.iterdir()):
        raise Unreachable(
            f"{path} is new or empty, but {unfinished} has bytes; bring the state back, or move them away"
        )


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, which is created if there is none; raises Unreachable if it is damaged or in use, and Full."""
    try:
        path.touch(mode=0o600)  # SQLite gives the files beside it the same mode
        connection = sqlite3.connect(path, isolation_level=None, timeout=0.5, check_same_thread=False)
    except OSError as error:
        raise Unreachable(f"{path}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise fault_of(error) from error
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'uploads'").fetchone():
            _check_new(path)
        connection.executescript(_SCHEMA + sqlite_hints.SCHEMA)
        sqlite_list.prepare(connection)
        sqlite_outbox.prepare(connection)
        connection.execute("SELECT id, version, due, open, document FROM uploads LIMIT 0")  # all are there
        if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise Unreachable(f"{path} is damaged")
    except UnicodeDecodeError as error:  # SQLite's message quotes damaged bytes, which are not UTF-8
        connection.close()
        raise Unreachable(f"{path} is damaged") from error
    except sqlite3.Error as error:
        connection.close()
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise Unreachable(f"another process uses {path}") from error
        raise fault_of(error) from error
    except Unreachable:
        connection.close()
        raise
    return connection
