"""The log on stderr: one line each, as text for people or as JSON for programs (--log-format).

Every line of the server goes to the logger `onward`, and is written here. What a program wants to know beside the
message comes as `fields` of the record: a mapping, or a function that returns one, which is only called for JSON.
"""

import logging
import time

import msgspec

from onward.server.http.request_log import CURRENT


class TextLines(logging.Formatter):
    """Formats lines for people, at least one for each request, with little work.

    The part of the time that many lines have in common is formatted once a second.
    """

    _second, _text = 0, ""

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info or record.stack_info:
            return super().format(record)
        return f"{self.formatTime(record)} {record.levelname} {record.name} {record.getMessage()}"

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        second = int(record.created)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        return f"{self._text},{int(record.msecs):03}"


class JsonLines(logging.Formatter):
    """Formats each record as one JSON object in one line; times are in UTC."""

    _second, _text = 0, ""
    _encode = msgspec.json.Encoder(enc_hook=str).encode

    def format(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        line: dict[str, object] = {
            "time": f"{self._text}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request_id := CURRENT.get()) is not None:
            line["requestId"] = request_id
        if (fields := getattr(record, "fields", None)) is not None:
            line |= fields() if callable(fields) else fields
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return self._encode(line).decode()


def set_up_log(level: str, form: str) -> None:
    """Log to stderr from this level on, in this format: `text` or `json`."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # saves a look-up each
    logging._srcfile = None
    lines = logging.StreamHandler()
    lines.setFormatter(JsonLines() if form == "json" else TextLines("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[lines])
