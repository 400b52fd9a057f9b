"""How long to wait after a failure, and when to give up: full jitter under a cap that doubles."""

import random
import time
from collections.abc import Callable

from client.errors import GivenUp, Interrupted

FIRST = 0.5  # seconds
LONGEST = 30.0
DOUBLINGS = 10


class Patience:
    """Counts failures in a row; gives up when they have lasted for `retry_for` seconds."""

    def __init__(
        self,
        retry_for: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._retry_for, self._clock, self._dice = retry_for, clock, dice
        self._failures = 0
        self._since: float | None = None

    def progressed(self) -> None:
        """Note that something went on, so that failures count anew."""
        self._failures, self._since = 0, None

    def wait(self, fault: Interrupted) -> float:
        """Give the seconds to wait before the next try; raises GivenUp."""
        now = self._clock()
        self._since = now if self._since is None else self._since
        highest = min(FIRST * 2 ** min(self._failures, DOUBLINGS), LONGEST)
        self._failures += 1
        seconds = max(self._dice(0, highest), fault.retry_after)
        if now + seconds > self._since + self._retry_for:
            raise GivenUp(f"{fault}; no progress in {self._retry_for:g} s of trying")
        return seconds
