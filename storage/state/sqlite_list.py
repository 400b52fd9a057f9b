"""The list of all uploads in the SQLite file, the newest first: its columns, its index, and how a page is read.

The index begins with the status. So a page is found at once whichever statuses are asked for: the newest uploads of
each status are looked up, and merged. `created` is written once, by the insert, so that no upload moves in the list.
Called by sqlite.py, in its thread.
"""

import sqlite3
from collections.abc import Collection
from math import inf

from onward.protocol.model import Status, UploadId
from onward.storage.base import Cursor, Page, Unreachable
from onward.storage.codec import decode

INDEX = "CREATE INDEX IF NOT EXISTS uploads_listed ON uploads (status, created, id)"
_FIRST = Cursor(inf, UploadId(""))
_OF_STATUS = """
SELECT * FROM (SELECT created, id FROM uploads WHERE status = ? AND (created, id) < (?, ?)
               ORDER BY created DESC, id DESC LIMIT ?)
"""


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
    query = f"{' UNION ALL '.join([_OF_STATUS] * len(statuses))} ORDER BY created DESC, id DESC LIMIT ?"
    values = [value for status in statuses for value in (status, *(after or _FIRST), limit + 1)]
    places = [Cursor(created, UploadId(id_)) for created, id_ in db.execute(query, (*values, limit + 1))]
    page = Page([], [], places[limit - 1] if len(places) > limit else None)
    for place in places[:limit]:
        (document,) = db.execute("SELECT document FROM uploads WHERE id = ?", (place.id,)).fetchone()
        try:
            page.uploads.append(decode(document))
        except Unreachable:
            page.damaged.append(place.id)
    return page
