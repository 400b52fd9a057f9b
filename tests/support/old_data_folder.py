"""A data folder as an earlier version of the server has left it, built from text.

`tests/storage/old_data/` has one file for each state, made by the version before the one import name `onward`. It says
for each upload what its record was (for SQLite), or the two slots of its backup (for Redis), and what file it had.
The bytes are not in there: those of an upload are SHAKE-128 of its name. All times are moved to the present, as if the
earlier server had been killed a moment ago.
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

TEXTS = Path(__file__).resolve().parents[1] / "storage" / "old_data"
SIZE = 200_000
SLOT = 2**16
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
TIMES = ("created", "updated", "expires", "due")
FINAL = ("completed", "failed", "terminated", "expired")
SCHEMA = """
CREATE TABLE uploads (
    id TEXT PRIMARY KEY, version INTEGER, due REAL, open INTEGER, document BLOB
) WITHOUT ROWID;
CREATE INDEX uploads_due ON uploads (due) WHERE due IS NOT NULL;
CREATE INDEX uploads_open ON uploads (open) WHERE open;
"""
Record = Mapping[str, Any]


def content(name: str, size: int = SIZE) -> bytes:
    """Give the bytes of the upload of that name."""
    return hashlib.shake_128(name.encode()).digest(size)


@dataclass(frozen=True, slots=True)
class OldUpload:
    """What was left of one upload: its records, and its folder, size and mode if it had a file."""

    name: str
    file: tuple[str, int, str] | None
    records: tuple[Record | None, ...]

    @property
    def record(self) -> Record:
        """The newest record."""
        found: Record = max((each for each in self.records if each), key=lambda each: each["version"])
        return found


def build_old_folder(kind: str, data: Path) -> dict[str, OldUpload]:
    """Build the data folder of an earlier server, with its state in `sqlite` or `redis`; gives its uploads by name."""
    text = json.loads((TEXTS / f"{kind}.json").read_text())
    later = time.time() - text["written"]
    uploads = [
        OldUpload(each["name"], each["file"], tuple(_moved(record, each["name"], later) for record in each["records"]))
        for each in text["uploads"]
    ]
    for folder in ("partial", "files", "records", "nodes"):
        (data / folder).mkdir(parents=True, mode=0o700)
    (data / "lock").touch(0o600)
    (data / "nodes" / "0123456789abcdef").touch(0o600)  # that of a server that was killed
    (data / "store").write_text(text["store"])
    for upload in uploads:
        if upload.file is not None:
            folder, size, mode = upload.file
            path = data / folder / upload.record["id"]
            path.write_bytes(content(upload.name, size))
            path.chmod(int(mode, 8))
    if kind == "sqlite":
        _write_sqlite(data / "state.sqlite", uploads)
    else:
        for upload in uploads:
            slots = (_slot(record) for record in upload.records)
            (data / "records" / upload.record["id"]).write_bytes(b"".join(slots))
    return {upload.name: upload for upload in uploads}


def _moved(record: Record | None, name: str, later: float) -> Record | None:
    """Move the times of a record. The memory that a volatile record names is that of this machine, except for `lost`."""
    if record is None:
        return None
    times = {time_: record[time_] + later for time_ in TIMES if record[time_] is not None}
    boot = {"volatile": BOOT} if record["volatile"] and name != "lost" else {}
    return {**record, **times, **boot}


def _document(record: Record) -> bytes:
    line = json.dumps(record, separators=(",", ":")).encode()
    return b"%b\n%08x" % (line, crc32(line))


def _write_sqlite(path: Path, uploads: list[OldUpload]) -> None:
    def rows() -> Iterator[tuple[object, ...]]:
        for record in (upload.record for upload in uploads):
            unfinished = record["status"] not in FINAL
            yield record["id"], record["version"], record["due"], unfinished, _document(record)

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA)
        connection.executemany("INSERT INTO uploads VALUES (?, ?, ?, ?, ?)", rows())


def _slot(record: Record | None) -> bytes:
    """Write one of the two slots of a backup: the length and the CRC-32 of the document, and the document."""
    if record is None:
        return bytes(SLOT)
    document = _document(record)
    return (len(document).to_bytes(4, "big") + crc32(document).to_bytes(4, "big") + document).ljust(SLOT, b"\0")
