"""What the operator's commands print: a table, the fields of an upload in words, sentences; or an array of JSON.

Names and metadata come from clients, so whatever a terminal could take for a command is replaced.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from tqdm import tqdm
from tqdm.utils import disp_len, disp_trim

from onward.client.text import printable
from onward.server.control.commands import Answer

WIDE = 100  # columns; a narrower terminal gets the beginnings of the ids
SHORT_ID, LONG_ID = 12, 32
AGES = (("d", 86400), ("h", 3600), ("m", 60))
_FIELDS = {  # of an upload, in the order of `show`; what is not here follows them under its own name
    "uploadId": "upload",
    "fileName": "file name",
    "contentType": "type",
    "owner": "owner",
    "status": "status",
    "uploadedBytes": "stored",
    "bytesPerSecond": "rate",
    "etaSeconds": "time left",
    "sha256": "SHA-256",
    "error": "error",
    "created": "created",
    "lastUpdated": "last change",
    "expires": "expires",
    "path": "path",
    "url": "URL",
    "duplicateOf": "equal to",
}
_PARTS_OF_OTHERS = {"seq", "completed", "progress", "fileSize", "metadata"}  # shown within another field, or left out


def problem(sentence: object) -> None:
    """Print something that could not be done."""
    print(f"onward: {printable(str(sentence))}", file=sys.stderr)


class Json:
    """Prints one array, with an upload or an event on each line. If a command breaks off, the array is not closed."""

    def __init__(self) -> None:
        self._any = False

    def show(self, answer: Answer) -> None:
        """Print the one object in an answer."""
        for value in answer.values():
            print(",\n" if self._any else "[\n", json.dumps(value), sep="", end="")
            self._any = True

    def end(self) -> None:
        """Close the array."""
        print("\n]" if self._any else "[]")


class Table:
    """Prints a line for each upload; in a terminal it is cut at the edge."""

    def __init__(self) -> None:
        self._columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        self._id = SHORT_ID if self._columns is not None and self._columns < WIDE else LONG_ID
        self._now, self._any = datetime.now(UTC), False

    def show(self, answer: Answer) -> None:
        """Print the line of an upload, the head of the table first."""
        if not self._any:
            self._print("UPLOAD", "STATUS", "STORED", "SIZE", "AGE", "FILE NAME")
            self._any = True
        upload = answer["upload"]
        percent = "" if upload["progress"] is None else f"{upload['progress']:.1f}%"
        size = f"{_size(upload['uploadedBytes'])}+" if upload["fileSize"] is None else _size(upload["fileSize"])
        age = _age((self._now - datetime.fromisoformat(upload["created"])).total_seconds())
        self._print(upload["uploadId"], upload["status"], percent, size, age, printable(upload["fileName"] or ""))

    def end(self) -> None:
        """Say so if there was nothing to show."""
        if not self._any:
            print("no uploads", file=sys.stderr)

    def _print(self, *cells: str) -> None:
        id_, status, percent, size, age, name = cells
        line = f"{id_[: self._id]:{self._id}}  {status:10}  {percent:>6}  {size:>7}  {age:>4}  "
        left = None if self._columns is None else max(self._columns - len(line), 0)
        if left is not None and disp_len(name) > left:
            name = disp_trim(name, max(left - 1, 0)) + "…"
        print((line + name).rstrip())


class Owned:
    """Prints a line for each owner, with sizes in bytes."""

    def __init__(self) -> None:
        self._any = False

    def show(self, answer: Answer) -> None:
        """Print what an owner has, the head of the table first."""
        if not self._any:
            print(f"{'STORED':>19}  {'PROMISED':>19}  {'QUOTA':>19}  {'UPLOADS':>8}  OWNER")
            self._any = True
        has = answer["quota"]
        quota = "-" if has["quota"] is None else f"{has['quota']:,}"
        print(
            f"{has['stored']:>19,}  {has['promised']:>19,}  {quota:>19}  {has['uploads']:>8}  {printable(has['owner'])}"
        )

    def end(self) -> None:
        """Say so if there was nothing to show."""
        if not self._any:
            print("no uploads have an owner", file=sys.stderr)


class Sentences:
    """Prints what `show`, `rm`, `events` and `sweep` answer, in words."""

    def __init__(self) -> None:
        self._any = False

    def show(self, answer: Answer) -> None:
        """Print an answer."""
        match answer:
            case {"upload": upload}:
                if self._any:
                    print()
                self._any = True
                for name, value in _described(upload):
                    print(f"{name:13}{value}")
            case {"removed": upload}:
                name = f", {printable(upload['fileName'])}" if upload["fileName"] else ""
                print(f"removed {upload['uploadId']}{name} ({upload['uploadedBytes']:,} bytes)")
            case {"event": event}:
                time, type_, status = event["timestamp"], event["type"], event["status"]
                print(f"{time}  {status:7}  {type_:17}  {event['uploadId']}  {printable(event['target'])}")
            case {"retried": {"events": count}}:
                print("1 event waits again" if count == 1 else f"{count} events wait again")
            case {"swept": swept}:
                print(f"{swept['processed']} uploads processed, {swept['leftovers']} leftovers removed")

    def end(self) -> None:
        """Do nothing: all is printed."""


def _described(upload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the fields of an upload that have a value, each with its name."""
    others = {name: name for name in upload if name not in _PARTS_OF_OTHERS}
    for field, name in (_FIELDS | {name: name for name in others if name not in _FIELDS}).items():
        value = upload.get(field)
        if value is None or (field == "bytesPerSecond" and not value):
            continue
        match field:
            case "uploadedBytes":
                size = "an unknown number of" if upload["fileSize"] is None else f"{upload['fileSize']:,}"
                percent = "" if upload["progress"] is None else f" ({upload['progress']:g} %)"
                text = f"{value:,} of {size} bytes{percent}"
            case "bytesPerSecond":
                text = f"{_size(value)}B/s"
            case "etaSeconds":
                text = tqdm.format_interval(int(value))
            case "error":
                text = f"{value['title']} ({value['code']})"
            case "created" | "lastUpdated" | "expires":
                text = f"{datetime.fromisoformat(value):%Y-%m-%d %H:%M:%S} UTC"
            case _:
                text = value if isinstance(value, str) else json.dumps(value)
        yield name, printable(text)
    for number, (key, value) in enumerate(upload["metadata"].items()):
        text = value if isinstance(value, str) else f"{value['base64']} (Base64)"
        yield "" if number else "metadata", printable(f"{key}: {text}")


def _size(size: float) -> str:
    return str(tqdm.format_sizeof(size)) if size >= 1000 else f"{size:g}"


def _age(seconds: float) -> str:
    for unit, length in AGES:
        if seconds >= length:
            return f"{int(seconds / length)}{unit}"
    return f"{max(int(seconds), 0)}s"
