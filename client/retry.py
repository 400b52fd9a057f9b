"""How long to wait after a failed request, and when to give up.

The wait is random (full jitter) under a limit that doubles with each failure in a row. Any progress starts the count
again.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from onward.client.errors import GivenUp, Interrupted, Unreachable, Unreached

FIRST = 0.5  # seconds: the limit after the first failure
LONGEST = 30.0  # seconds: the limit stops doubling here
UNREACHED_FOR = 5.0  # seconds of trying to reach a server for the first time
DOUBLINGS = 10  # enough to reach LONGEST; without a limit the power would overflow after many failures


@dataclass(slots=True)
class Reach:
    """Whether the server has answered at least once; until then, an unreachable one is probably the wrong one."""

    made: bool = False


class Backoff:
    """Counts failures in a row, and gives up once they have lasted for `retry_for` seconds."""

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
        """Record progress: failures are counted from here on."""
        self._failures, self._since = 0, None

    def wait(self, fault: Interrupted) -> float:
        """Return the seconds to wait before the next try; raises GivenUp, or Unreachable for an Unreached."""
        now = self._clock()
        if self._since is None:
            self._since = now - (fault.lasted if isinstance(fault, Unreached) else 0.0)
        limit = min(FIRST * 2 ** min(self._failures, DOUBLINGS), LONGEST)
        self._failures += 1
        seconds = max(self._dice(0, limit), fault.retry_after)
        if isinstance(fault, Unreached) and now + seconds > self._since + min(self._retry_for, UNREACHED_FOR):
            raise Unreachable(str(fault))
        if now + seconds > self._since + self._retry_for:
            raise GivenUp(f"{fault}; no progress in {self._retry_for:g} s of trying")
        return seconds
