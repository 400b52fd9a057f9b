"""Fixtures of the tests of the server in this process."""

import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from onward.server.http import request_log
from onward.server.log import JsonLines, Lines
from onward.server.uploads import end_line


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """Log as the server does with `--log-format json`."""
    told, handler, logger = StringIO(), Lines(JsonLines()), logging.getLogger("onward")
    handler.setStream(told)
    for module in (request_log, end_line):
        monkeypatch.setattr(module, "write_line", handler.write_plain)
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.INFO)
    yield told
    logger.setLevel(before)
    logger.removeHandler(handler)
