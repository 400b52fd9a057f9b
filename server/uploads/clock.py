"""The time in the records, and what a change of the clock means for them.

Records contain wall time, since they outlive the process and the machine. The wall clock may be set: by NTP after a
start without a battery-backed clock, by hand, or when a virtual machine is resumed. Time that did not really pass must
not make uploads expire. So the wall clock is compared with CLOCK_BOOTTIME, which cannot be set and which goes on while
the machine is suspended: real sleep counts as time, a set clock does not.

    steady  ----------------+-----------------------
    wall    ... 12:00 12:01 | 15:01 15:02 ...         set forward by 3 hours
            a record of 12:00 with 1 hour to live expires at 16:00, not at 13:00

Each change is kept as a `Step`. From the steps and the time in a record (its stamp), `set_since` computes by how much
the clock was set since the record was saved; `records.py` adds that to the times in the record.

If several nodes share a state that has a clock of its own (Redis), all of them follow that one (`follow`), so that a
wrong clock on one node does no harm.
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf
from threading import Lock
from typing import NamedTuple

STEP = 1.0  # seconds; a smaller change is no step: it does no harm, and NTP makes it gradually
LATE = 60.0  # seconds within which every node has noticed that the clock was set
UNSURE = 1.0  # seconds; if the shared clock takes longer to answer, its time is too uncertain
REMEMBERED = 100  # steps that are kept


# Returns the seconds of a clock that cannot be set, and that goes on while the machine is suspended.
boottime = partial(time.clock_gettime, time.CLOCK_BOOTTIME)


class Step(NamedTuple):
    """A change of the clock from `before` to `after`, at the steady time `at`."""

    before: float
    after: float
    at: float

    @property
    def by(self) -> float:
        """Return the seconds by which the clock was set forward, or back (below 0)."""
        return self.after - self.before

    @property
    def earliest(self) -> float:
        """Return the lowest stamp that a record saved after this change can have.

        After a step forward, the skipped times are in no record, except for those of nodes that noticed it late. After
        a step back, every earlier time may occur again, so there is no lowest one: such records count as new, and live
        longer.
        """
        return min(self.before + LATE, self.after - STEP) if self.by > 0 else -inf


class Clock:
    """A clock of seconds since the epoch. `wall` is a clock that may be set, `steady` one that cannot be."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = boottime) -> None:
        self.steps: deque[Step] = deque(maxlen=REMEMBERED)
        self._wall, self._steady = wall, steady
        self._shared: float | None = None  # how far a shared clock is ahead of the steady one
        self._last = steady(), wall()  # the steady time of the last call, and the time then
        self._lock = Lock()  # receiving threads ask for the time too, and each step counts once

    def __call__(self) -> float:
        """Return the time; if the clock was set since the last call, a step is noted."""
        with self._lock:
            (was_at, was), at = self._last, self._steady()
            now = self._wall() if self._shared is None else at + self._shared
            expected = was + (at - was_at)
            if abs(now - expected) > STEP:
                self.steps.append(Step(expected, now, at))
            self._last = at, now
        return now

    def elapsed(self) -> float:
        """Return the steady time, to measure how long something takes."""
        return self._steady()

    def stepped_within(self, seconds: float) -> bool:
        """Return whether the clock was set in the last `seconds`."""
        return any(self._last[0] - step.at < seconds for step in tuple(self.steps))

    def follow(self, shared: float, asked: float) -> None:
        """Follow a shared clock from now on. `shared` is its answer, `asked` the steady time when it was asked."""
        at, known = self._steady(), self._shared
        if known is not None and at - asked > UNSURE:
            return
        self._shared = shared - (asked + at) / 2
        if known is None:  # the difference to this node's own clock is no step
            self._last = at, at + self._shared

    def set_since(self, stamp: float, now: float) -> float:
        """Return the seconds by which the clock was set forward (or back, below 0) since a record with this stamp.

        `now` is what the clock has just returned.
        """
        latest, by = now + STEP, 0.0
        # From the newest step back to the one after which the stamp was made; other threads may add one meanwhile.
        for step in reversed(tuple(self.steps)):
            if step.earliest < stamp <= latest:
                break
            by, latest = by + step.by, step.before + LATE
        return by
