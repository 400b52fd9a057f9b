"""The log on stderr: one line each, as text for people or as JSON for programs (--log-format).

Every line of the server goes to the logger `onward`, and is written here. What a program wants to know beside the
message comes as `fields` of the record: a mapping, or a function that returns one, which is only called for JSON.
"""

import logging
import time
from typing import TextIO

import msgspec

from onward.server.http import request_log
from onward.server.http.request_log import CURRENT, Fields
from onward.server.uploads import end_line


class TextLines(logging.Formatter):
    """Formats lines for people, with little work: the part of the time that many have in common once a second."""

    _second, _text = 0, ""

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info or record.stack_info:
            return super().format(record)
        return self.line(record.created, record.levelname, record.name, record.getMessage(), None)

    def line(self, created: float, level: str, logger: str, message: str, fields: Fields | None) -> str:  # noqa: ARG002
        """Return one line; `created` is its time in seconds since the epoch."""
        return f"{self._time(created)} {level} {logger} {message}"

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        return self._time(record.created)

    def _time(self, created: float) -> str:
        second = int(created)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._text},{int((created - second) * 1000):03}"


class JsonLines(logging.Formatter):
    """Formats each record as one JSON object in one line; times are in UTC."""

    _second, _text = 0, ""
    _encode = msgspec.json.Encoder(enc_hook=str).encode

    def format(self, record: logging.LogRecord) -> str:
        exception = self.formatException(record.exc_info) if record.exc_info else None
        fields = getattr(record, "fields", None)
        return self.line(
            record.created, record.levelname, record.name, record.getMessage(), fields, exception=exception
        )

    def line(
        self,
        created: float,
        level: str,
        logger: str,
        message: str,
        fields: Fields | None,
        *,
        exception: str | None = None,
    ) -> str:
        """Return one line; `created` is its time in seconds since the epoch."""
        second = int(created)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        line: dict[str, object] = {
            "time": f"{self._text}.{int((created - second) * 1000):03}Z",
            "level": level.lower(),
            "logger": logger,
            "message": message,
        }
        if (request_id := CURRENT.get()) is not None:
            line["requestId"] = request_id
        if fields is not None:
            line |= fields() if callable(fields) else fields
        if exception is not None:
            line["exception"] = exception
        return self._encode(line).decode()


class Lines(logging.StreamHandler[TextIO]):
    """Writes the log to stderr, the most frequent lines with less work than `logging` needs for a record."""

    def __init__(self, form: TextLines | JsonLines) -> None:
        super().__init__()
        self.setFormatter(form)
        self._line = form.line

    def write_plain(self, level: int, message: str, fields: Fields) -> None:
        """Write a line about a request, or about the end of an upload. It is written when this returns."""
        try:
            line = self._line(time.time(), logging.getLevelName(level), request_log.log.name, message, fields)
            with self.lock:  # type: ignore[union-attr]  # made by logging.Handler
                self.stream.write(f"{line}\n")
                self.stream.flush()
        except Exception:
            self.handleError(logging.makeLogRecord({"msg": message, "levelno": level}))


def set_up_log(level: str, form: str) -> None:
    """Log to stderr from this level on, in this format: `text` or `json`."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # saves a look-up each
    logging._srcfile = None
    lines = Lines(JsonLines() if form == "json" else TextLines("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[lines])
    request_log.write_line = end_line.write_line = lines.write_plain
