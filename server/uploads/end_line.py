"""The line in the log about the end of an upload, with what a program wants to know about it. Called by records.py."""

import logging
from collections.abc import Callable, Mapping
from functools import partial

from onward.protocol.model import Upload

log = logging.getLogger("onward")


def write_line(level: int, message: str, fields: Callable[[], Mapping[str, object]]) -> None:
    """Log the line. The server's own log has something faster in this place (server/log.py)."""
    log.log(level, "%s", message, extra={"fields": fields})


def log_end(saved: Upload) -> None:
    """Log an end that is recorded."""
    if log.isEnabledFor(logging.INFO):
        line = f"upload {saved.id[:8]}… is {saved.status} at {saved.offset} of {saved.length}"
        write_line(logging.INFO, line, partial(_fields, saved))


def _fields(ended: Upload) -> Mapping[str, object]:
    fields = {
        "uploadId": ended.id,
        "uploadStatus": ended.status,
        "owner": ended.owner,
        "bytes": ended.offset,
        "durationMs": round(max(ended.updated - ended.created, 0.0) * 1e3),
        "reason": ended.failure.code if ended.failure else None,
    }
    return {name: value for name, value in fields.items() if value is not None}
