"""What the log says of something that keeps failing: one line a minute, and one when it works again."""

import logging

import pytest

from onward.storage.failure_log import EVERY, Reports


def test_a_failure_has_one_line_a_minute_and_one_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "onward")
    now = 1000.0
    reports = Reports("it", lambda: now)
    reports.succeeded()
    for _ in range(int(2.5 * EVERY)):
        reports.failed("no answer")
        now += 1
    reports.succeeded()
    reports.succeeded()
    assert caplog.messages == [*["it fails, and is tried again: no answer"] * 3, "it works again, after 150 s"]


def test_repeated_failures_have_no_more_lines_than_a_lasting_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "onward")
    now = 1000.0
    reports = Reports("it", lambda: now)
    for _ in range(int(EVERY)):
        reports.failed("no answer")
        reports.succeeded()
        now += 0.5
    assert len(caplog.messages) == 2
