"""The progress messages that watchers get: the whole recorded state of an upload, as JSON.

The state store makes a message from each record that it saves. A message is complete, so a watcher that missed some
needs only the newest one. Only `receivedBytes` is in no record: while a body arrives, there may be further messages of
the same record, with the same `seq`.
"""

import json
import re
from base64 import b64encode
from datetime import UTC, datetime

from msgspec import Struct

from onward.protocol.headers import parse_metadata
from onward.protocol.model import CreateRequest, Status, Upload, UploadId

_MEDIA_TYPE = re.compile(rb"\s*([\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100})\s*(?:;.*)?", re.ASCII)


class Progress(Struct, frozen=True, kw_only=True, gc=False):
    """One message to the watchers of an upload. The message with the highest `order` is the newest."""

    id: UploadId
    seq: int
    final: bool
    json: str
    received: int = 0

    @property
    def order(self) -> tuple[int, int]:
        """Return what orders the messages of an upload; of the same record, that with more bytes is newer."""
        return self.seq, self.received


def file_name(upload: Upload) -> str | None:
    """Return the name of the file from the metadata `filename` or `name`; None if the client gave none."""
    pairs = parse_metadata(upload.metadata or "")
    raw = pairs.get("filename") or pairs.get("name")
    return raw.decode("utf-8", "replace") if raw else None


def media_type(upload: Upload) -> str | None:
    """Return the media type from the metadata `filetype`, without parameters; None if the client gave no usable one."""
    found = _MEDIA_TYPE.fullmatch(parse_metadata(upload.metadata or "").get("filetype", b""))
    return found[1].decode().lower() if found else None


def readable_metadata(described: Upload | CreateRequest) -> dict[str, str | dict[str, str]]:
    """Return the metadata with their values as text; a value that is not UTF-8 is an object with its Base64."""
    return {key: _readable(value) for key, value in parse_metadata(described.metadata or "").items()}


def _readable(value: bytes) -> str | dict[str, str]:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


def timestamp(seconds: float) -> str:
    """Return a time in seconds since the epoch as people and JSON write it: UTC, with milliseconds (RFC 3339)."""
    time = datetime.fromtimestamp(seconds, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z"


def error_of(upload: Upload) -> dict[str, str] | None:
    """Return why an upload failed, as watchers and applications are told; None if it did not."""
    return {"code": upload.failure.code, "title": upload.failure.title} if upload.failure else None


def progress(upload: Upload, received: int = 0) -> Progress:
    """Return the message with the recorded state of an upload, of which `received` bytes have arrived here so far.

    An upload with bytes on their way is uploading, also before the first of them are recorded.
    """
    length, offset, status = upload.length, upload.offset, upload.status
    if received > offset and status in (Status.PENDING, Status.PAUSED):
        status = Status.UPLOADING
    sending = status is Status.UPLOADING
    received = max(received, offset) if sending else offset
    eta = (length - offset) / upload.rate if sending and length is not None and upload.rate else None
    percent = None if length is None else round(100 * offset / length, 1) if length else 100.0
    completed = upload.status is Status.COMPLETED
    message = {
        "uploadId": upload.id,
        "seq": upload.version,
        "status": status.value,
        "fileName": file_name(upload),
        "fileSize": length,
        "uploadedBytes": offset,
        "receivedBytes": received,
        "progress": percent,
        "completed": completed,
        "bytesPerSecond": round(upload.rate) if sending else 0,
        "etaSeconds": None if eta is None else round(eta, 2),
        "sha256": upload.sha256.hex() if upload.sha256 else None,
        "error": error_of(upload),
        "lastUpdated": timestamp(upload.updated),
    }
    if completed:
        message |= {"contentType": upload.content_type, "path": upload.path, "url": upload.url}
        # Without an owner, an id is all that it takes to use an upload, so it is told only if there is an owner.
        message |= {"duplicateOf": None if upload.owner is None else upload.duplicate_of}
    return Progress(
        id=upload.id, seq=upload.version, final=upload.status.final, json=json.dumps(message), received=received
    )
