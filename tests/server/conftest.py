"""Fixtures of the tests of the server in this process."""

import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from onward.server.http import request_log
from onward.server.log import JsonLines, Lines


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """Log as the server does with `--log-format json`."""
    told, handler, logger = StringIO(), Lines(JsonLines()), logging.getLogger("onward")
    handler.setStream(told)
    monkeypatch.setattr(request_log, "write_line", handler.write_request)
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.INFO)
    yield told
    logger.setLevel(before)
    logger.removeHandler(handler)
