"""The list of all uploads in the SQLite file, the newest first: its columns, its index, and how a page is read.

The index has what never changes, the time of creation and the id. So no upload moves in the list, and a save, which may
change the status, need not touch the index. A page of few statuses is found by a look at some uploads in their order.
The uploads of one owner have an index of their own (sqlite_quotas.py). Called by sqlite.py, in its thread.
"""

import sqlite3
from collections.abc import Collection, Iterable
from math import inf

from onward.protocol.model import Status, UploadId
from onward.storage.base import Cursor, Page, Unreachable
from onward.storage.codec import decode
from onward.storage.state import sqlite_quotas

INDEX = "CREATE INDEX IF NOT EXISTS uploads_listed ON uploads (created, id);"
# The columns that earlier versions did not have.
_ADDED = {"created": "REAL", "status": "TEXT", "owner": "TEXT", "charge": "INTEGER", "token": "TEXT"}
_FILL = "UPDATE uploads SET created = ?, status = ?, owner = ?, charge = ?, token = ? WHERE id = ?"
LOOKED_AT = 1000  # uploads that a page of few statuses looks at
_FIRST = Cursor(inf, UploadId(""))
_ALL = frozenset(Status)


def prepare(db: sqlite3.Connection) -> None:
    """Make the indexes; a file of an earlier version gets what columns it lacks first, filled from its records."""
    columns = {row[1] for row in db.execute("PRAGMA table_info(uploads)")}
    if lacking := [f"{name} {kind}" for name, kind in _ADDED.items() if name not in columns]:
        db.execute("BEGIN IMMEDIATE")
        for column in lacking:
            db.execute(f"ALTER TABLE uploads ADD COLUMN {column}")
        for (id_,) in db.execute("SELECT id FROM uploads").fetchall():
            (document,) = db.execute("SELECT document FROM uploads WHERE id = ?", (id_,)).fetchone()
            db.execute(_FILL, (*_listed(document), id_))
        db.execute("COMMIT")
    db.executescript(INDEX + sqlite_quotas.INDEXES)


def _listed(document: bytes) -> tuple[object, ...]:
    """Return the columns of a record beside its document; a damaged record is listed last, as failed."""
    try:
        upload = decode(document)
    except Unreachable:
        return 0.0, Status.FAILED, None, None, None
    return upload.created, upload.status, upload.owner, *sqlite_quotas.columns_of(upload)


def read_page(
    db: sqlite3.Connection, after: Cursor | None, limit: int, statuses: Collection[Status], owner: str | None
) -> Page:
    """Read one page (`Records.page`); if few of the uploads have a status that is wanted, it is short."""
    whose, values = ("", ()) if owner is None else ("owner = ? AND", (owner,))
    query = f"""
        SELECT created, id, status FROM uploads
        WHERE {whose} (created, id) < (?, ?) ORDER BY created DESC, id DESC LIMIT ?
    """  # noqa: S608
    looked_at = limit if set(statuses) >= _ALL else max(limit, LOOKED_AT)
    places: list[Cursor] = []
    last: Cursor | None = None
    for count, (created, id_, status) in enumerate(db.execute(query, (*values, *(after or _FIRST), looked_at + 1))):
        if count == looked_at or len(places) == limit:
            return _page(db, places, last)
        last = Cursor(created, UploadId(id_))
        if status in statuses:
            places.append(last)
    return _page(db, places, None)


def _page(db: sqlite3.Connection, places: Iterable[Cursor], following: Cursor | None) -> Page:
    """Read the records of a page."""
    page = Page([], [], following)
    for place in places:
        (document,) = db.execute("SELECT document FROM uploads WHERE id = ?", (place.id,)).fetchone()
        try:
            page.uploads.append(decode(document))
        except Unreachable:
            page.damaged.append(place.id)
    return page
