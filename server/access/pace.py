"""The pace of refusals: whoever sends many bad tokens waits longer and longer for each answer, up to a second.

A refusal costs the event loop some tenths of a millisecond, so a few clients that send bad tokens as fast as they are
refused would take much of a processor from uploads. `server/http/access.py` asks for the wait before it refuses a
token. Nothing else of the address is delayed, since many people may share one: good tokens are answered as ever.
"""

RATE, BURST = 100.0, 100.0  # refusals of one address in a second, and how many come before any waits
LONGEST = 1.0  # seconds that a refusal waits at most
MOST = 10_000  # addresses that are remembered


class Pace:
    """Says how long a refusal has to wait. Times are in seconds of any clock that only grows."""

    def __init__(self) -> None:
        self._full: dict[str | None, float] = {}  # by address: when all of its refusals would be over, at RATE

    def wait(self, address: str | None, now: float) -> float:
        """Count a refusal, and return for how many seconds it waits."""
        full = max(self._full.pop(address, now), now) + 1 / RATE
        full = min(full, now + BURST / RATE + LONGEST)
        if len(self._full) >= MOST:
            del self._full[next(iter(self._full))]
        self._full[address] = full
        return max(full - now - BURST / RATE, 0.0)
