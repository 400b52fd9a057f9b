"""The time that records are stamped with, and what a change of the clock means for them.

Records carry wall time, since they outlive the process and the machine. The wall clock may be set: by NTP after a start
without a battery-backed clock, by hand, by a virtual machine that is resumed. Time that nobody lived through must not
count. So the wall clock is compared with CLOCK_BOOTTIME, which nobody can set and which goes on while the machine is
suspended: a real sleep counts as time, a set clock does not.

    steady  ----------------+-----------------------
    wall    ... 12:00 12:01 | 15:01 15:02 ...         set forward by 3 hours
            a record of 12:00 with 1 hour to live expires at 16:00, not at 13:00

Each change is kept as a `Step`. From the steps and the stamp of a record `set_since` tells by how much the clock was
set since the record was made; the ledger adds that to the times in the record.

Where several nodes share a state that has a clock of its own (Redis), all of them follow that one (`follow`), so that
the clock of one node can be as wrong as it likes.
"""

import time
from collections import deque
from collections.abc import Callable
from math import inf
from typing import NamedTuple

STEP = 1.0  # seconds; NTP slews what is less, and nothing is harmed by it
LATE = 60.0  # seconds within which all nodes have noticed that the clock was set
UNSURE = 1.0  # seconds that an answer may take whose time is still believed
REMEMBERED = 100  # steps


def boottime() -> float:
    """Return seconds that nobody can set, and that go on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


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
        """Return what a stamp that was made after the change is not below, where that is known.

        After a step forward that is the time that was skipped, which no stamp has but that of a node that noticed late.
        After a step back every earlier time may have been reached again: such stamps count as new, and live longer.
        """
        return min(self.before + LATE, self.after - STEP) if self.by > 0 else -inf


class Clock:
    """Seconds since the epoch. `wall` is a clock that may be set, `steady` one that can't be."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = boottime) -> None:
        self.steps: deque[Step] = deque(maxlen=REMEMBERED)
        self._wall, self._steady = wall, steady
        self._shared: float | None = None  # what a shared clock is ahead of the steady one
        self._at, self._now = steady(), wall()

    def __call__(self) -> float:
        """Return the time, and notice where the clock was set."""
        at = self._steady()
        now = self._wall() if self._shared is None else at + self._shared
        expected = self._now + (at - self._at)
        if abs(now - expected) > STEP:
            self.steps.append(Step(expected, now, at))
        self._at, self._now = at, now
        return now

    def elapsed(self) -> float:
        """Return the steady time, to measure how long something takes."""
        return self._steady()

    def stepped_within(self, seconds: float) -> bool:
        """Return whether the clock was set lately."""
        return any(self._at - step.at < seconds for step in self.steps)

    def follow(self, told: float, asked: float) -> None:
        """Go by a shared clock that has just told its time; `asked` is the steady time when it was asked."""
        at, known = self._steady(), self._shared
        if known is not None and at - asked > UNSURE:
            return
        self._shared = told - (asked + at) / 2
        if known is None:  # a wrong clock of this node is no step of the shared one
            self._at, self._now = at, at + self._shared

    def set_since(self, stamp: float) -> float:
        """Return the seconds by which the clock was set forward (or back, below 0) since a stamp was made."""
        latest, by = self() + STEP, 0.0
        for step in reversed(self.steps):  # from the newest time back to the one that the stamp may be of
            if step.earliest < stamp <= latest:
                break
            by, latest = by + step.by, step.before + LATE
        return by
