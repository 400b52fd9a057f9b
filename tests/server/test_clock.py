"""A clock that is set: the time that was skipped counts for no record, and a real sleep of the machine does."""

import threading

import pytest

from onward.server.uploads.clock import Clock

HOUR, DAY = 3600.0, 86400.0


class Times:
    """A wall clock that a test sets, and a steady one."""

    def __init__(self) -> None:
        self.steady, self.ahead = 1000.0, 1_000_000.0
        self.clock = Clock(lambda: self.steady + self.ahead, lambda: self.steady)

    def set(self, seconds: float) -> None:
        """Set the wall clock, and have it noticed."""
        self.ahead += seconds
        self.clock()

    def wait(self, seconds: float) -> float:
        """Let time go by; gives a stamp of its end."""
        self.steady += seconds
        return self.clock()

    def set_since(self, stamp: float) -> float:
        """Ask by how much the clock was set since a stamp."""
        return self.clock.set_since(stamp, self.clock())


@pytest.mark.parametrize("by", [2.0, 90.0, HOUR, 1000 * DAY])
def test_a_stamp_of_before_a_step_forward_is_older_by_what_was_skipped(by: float) -> None:
    times = Times()
    old = times.wait(5)
    times.set(by)
    assert times.set_since(old) == pytest.approx(by)
    assert times.set_since(old - DAY) == pytest.approx(by)
    new = times.wait(0)
    assert times.set_since(new) == 0
    times.wait(DAY)
    assert times.set_since(new) == 0
    assert times.set_since(old) == pytest.approx(by)


@pytest.mark.parametrize("by", [-2.0, -90.0, -HOUR, -1000 * DAY])
def test_a_stamp_of_the_future_is_of_before_a_step_back(by: float) -> None:
    times = Times()
    old = times.wait(5)
    times.set(by)
    assert times.set_since(old) == pytest.approx(by)
    assert times.set_since(times.wait(0)) == 0


def test_a_clock_that_is_set_to_and_fro_leaves_each_stamp_its_own_time() -> None:
    times = Times()
    stamps = [(times.wait(100), 0)]
    for number, by in enumerate([1000 * DAY, -1000 * DAY, 1000 * DAY], 1):
        times.set(by)
        stamps.append((times.wait(100), number))
    for stamp, number in stamps:
        assert times.set_since(stamp) == pytest.approx(0 if number % 2 else 1000 * DAY)
    assert times.set_since(times.wait(1000)) == 0


def test_a_machine_that_was_suspended_has_lived_through_that_time() -> None:
    times = Times()
    old = times.wait(5)
    times.wait(3 * DAY)  # CLOCK_BOOTTIME goes on with the wall clock
    assert times.set_since(old) == 0


def test_a_clock_that_is_slewed_is_not_set() -> None:
    times = Times()
    old = times.wait(0)
    for _ in range(1000):
        times.ahead += 0.05
        times.wait(100)
    assert times.set_since(old) == 0


def test_a_node_follows_the_shared_clock_however_wrong_its_own_is() -> None:
    times = Times()
    times.clock.follow(5000.0, times.steady)
    assert (times.clock(), len(times.clock.steps)) == (5000.0, 0)
    times.set(DAY)
    assert (times.wait(10), len(times.clock.steps)) == (5010.0, 0)
    times.clock.follow(5010.4, times.steady)
    assert times.clock() == pytest.approx(5010.4)
    assert not times.clock.steps
    times.clock.follow(5010.0 + DAY, times.steady)
    assert times.clock() == 5010.0 + DAY
    assert times.set_since(5010.0) == pytest.approx(DAY, abs=1)


def test_a_shared_clock_that_answers_late_is_not_believed() -> None:
    times = Times()
    times.clock.follow(5000.0, times.steady)
    asked = times.steady
    times.wait(30)
    times.clock.follow(5000.0, asked)
    assert times.clock() == 5030.0


def test_the_time_of_files_is_doubted_for_a_while_after_a_step() -> None:
    times = Times()
    times.set(DAY)
    assert times.clock.stepped_within(HOUR)
    times.wait(HOUR)
    assert not times.clock.stepped_within(HOUR)


def test_two_threads_that_notice_a_step_at_once_count_it_once() -> None:
    others = list[threading.Thread]()
    times = Times()

    def wall() -> float:
        if times.ahead > 1_000_000.0 and not others:
            others.append(threading.Thread(target=clock))
            others[0].start()
            others[0].join(0.05)  # it may be faster than the first one
        return times.steady + times.ahead

    clock = Clock(wall, lambda: times.steady)
    old = clock()
    times.ahead += HOUR
    now = clock()
    others[0].join()
    assert clock.set_since(old, now) == pytest.approx(HOUR)
