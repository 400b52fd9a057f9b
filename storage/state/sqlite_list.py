"""The list of all uploads in the SQLite file, the newest first: its columns, its index, and how a page is read.

The index has what never changes, the time of creation and the id. So no upload moves in the list, and a save, which may
change the status, need not touch the index. A page of few statuses is found by a look at the uploads in their order.
Called by sqlite.py, in its thread.
"""

import sqlite3
from collections.abc import Collection
from math import inf

from onward.protocol.model import Status, UploadId
from onward.storage.base import Cursor, Page, Unreachable
from onward.storage.codec import decode

INDEX = "CREATE INDEX IF NOT EXISTS uploads_listed ON uploads (created, id)"
_FIRST = Cursor(inf, UploadId(""))
_ALL = frozenset(Status)


def prepare(db: sqlite3.Connection) -> None:
    """Make the index; a file of an earlier version gets the two columns first, filled from its records."""
    columns = {row[1] for row in db.execute("PRAGMA table_info(uploads)")}
    if "created" not in columns:
        db.execute("BEGIN IMMEDIATE")
        for column in ("created REAL", "status TEXT"):
            db.execute(f"ALTER TABLE uploads ADD COLUMN {column}")
        for id_, document in db.execute("SELECT id, document FROM uploads").fetchall():
            db.execute("UPDATE uploads SET created = ?, status = ? WHERE id = ?", (*_listed(document), id_))
        db.execute("COMMIT")
    db.execute(INDEX)


def _listed(document: bytes) -> tuple[float, str]:
    """Return the time of creation and the status in a record; a damaged record is listed last, as failed."""
    try:
        upload = decode(document)
    except Unreachable:
        return 0.0, Status.FAILED
    return upload.created, upload.status


def read_page(db: sqlite3.Connection, after: Cursor | None, limit: int, statuses: Collection[Status]) -> Page:
    """Read one page (`Records.page`)."""
    if not statuses:
        return Page([], [], None)
    wanted = () if set(statuses) >= _ALL else tuple(statuses)
    chosen = f"AND status IN ({', '.join('?' * len(wanted))})" if wanted else ""
    query = (
        f"SELECT created, id FROM uploads WHERE (created, id) < (?, ?) {chosen} ORDER BY created DESC, id DESC LIMIT ?"  # noqa: S608
    )
    found = db.execute(query, (*(after or _FIRST), *wanted, limit + 1))
    places = [Cursor(created, UploadId(id_)) for created, id_ in found]
    page = Page([], [], places[limit - 1] if len(places) > limit else None)
    for place in places[:limit]:
        (document,) = db.execute("SELECT document FROM uploads WHERE id = ?", (place.id,)).fetchone()
        try:
            page.uploads.append(decode(document))
        except Unreachable:
            page.damaged.append(place.id)
    return page
