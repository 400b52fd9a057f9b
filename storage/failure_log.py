"""Log lines about something that keeps failing: one a minute instead of one per failure, and one when it works again.

Used for Redis, which may be away for a while: every request and every attempt to reconnect fails then.
"""

import logging
import re
import time
from collections.abc import Callable

from onward.protocol.model import ID_PATTERN

EVERY = 60.0  # seconds between two lines about the same thing
log = logging.getLogger("onward")


def shorten_ids(text: str) -> str:
    """Shorten the ids of uploads in a text for the log: anyone who knows a whole id may use the upload."""
    return re.sub(ID_PATTERN, lambda id_: f"{id_[0][:8]}…", text)


class Reports:
    """The log lines about one thing that may keep failing."""

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what, self._clock = what, clock
        self._since: float | None = None  # when it began to fail; None while it works
        self._logged_at = -EVERY  # when a line about it was last logged
        self._logged = False  # whether there is a line about this failure

    def failed(self, error: object) -> None:
        """Report a failure; it is logged unless one was logged less than a minute ago."""
        now = self._clock()
        if self._since is None:
            self._since = now
        if now - self._logged_at >= EVERY:
            log.warning("%s fails, and is tried again: %s", self._what, error)
            self._logged_at, self._logged = now, True

    def succeeded(self) -> None:
        """Report that it works; this is logged if its failure was."""
        if self._logged and self._since is not None:
            log.info("%s works again, after %.0f s", self._what, self._clock() - self._since)
        self._since, self._logged = None, False
