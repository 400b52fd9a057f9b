"""The task that takes events out of the outbox and delivers them: at least once, and in order for each upload.

    records.py --- saves events ---> the outbox of the state
        |                                |  claim: the first of each queue, hidden from other claims for CLAIM seconds
        | wake()                         v
        +-----------------------> _serve, one task for each target --> up to AT_ONCE attempts at the same time
                                         |                                    |
                                         |<---- taken: delivered -------------+
                                         |<---- not taken: postpone, 1 s doubling to 1 h
                                         +<---- not taken until `retry_for` is over: give_up

Each target has a task and attempts of its own, so one that fails or hangs delays no other, and what waits for it stays
in the outbox instead of in memory. When many attempts in a row have failed, a target rests, at most a minute, and then
gets one event at a time until it takes one. So a receiver that is down costs next to nothing.

Over Redis all nodes do this. Each delivers first what it has saved itself, and looks for more every POLL seconds.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf

from onward.protocol.events import OutgoingEvent
from onward.server.events.webhook import Closed, NotTaken, Target
from onward.storage.base import Claimed, Outbox, StorageError
from onward.storage.failpoints import reach
from onward.storage.failure_log import Reports, shorten_ids

AT_ONCE = 8  # attempts for one target at the same time
CLAIM = 30.0  # seconds; longer than an attempt may take, so that no event is claimed twice without need
POLL = 1.0  # seconds between two looks into the outbox, if nothing wakes the task
FIRST, LONGEST = 1.0, 3600.0  # seconds until an event is tried again: at first, and at most
JITTER = 0.2  # that time is up to a fifth longer or shorter, so that many events are not tried at the same moment
GIVEN_BACK = 0.25  # seconds that the end of claims may take when the server stops
TIDY_EVERY = 3600.0  # seconds between two looks for events of targets that are not configured any more
LONGEST_REST = 60.0  # seconds for which a target rests at most when it takes nothing
log = logging.getLogger("onward")


@dataclass(slots=True)
class _Attempt:
    """An attempt that runs."""

    event: OutgoingEvent
    until: float  # when its claim ends, by the clock of the records


class _Line:
    """One target, and the attempts that run for it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.attempts: dict[asyncio.Task[None], _Attempt] = {}
        self.look = asyncio.Event()
        self.failures = 0  # attempts in a row that failed
        self.rests_until = -inf  # the loop's time
        self.closed = False
        self.may_be_more = False  # whether the last claim has left something in the outbox
        self.reports = Reports(target.shown)

    @property
    def room(self) -> int:
        """Return how many more attempts may run now."""
        return (1 if self.failures > AT_ONCE else AT_ONCE) - len(self.attempts)

    def rest(self, seconds: float) -> None:
        """Make no attempts for a while."""
        self.rests_until = max(self.rests_until, asyncio.get_running_loop().time() + seconds)


class Delivery:
    """Delivers events from an outbox to targets until it is stopped.

    `clock` gives the time of the records, `retry_for` is in seconds, and `chance` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        outbox: Outbox,
        targets: Sequence[Target],
        *,
        clock: Callable[[], float],
        retry_for: float,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.outbox, self.counts = outbox, Counter[str](delivered=0, failed=0)
        self._clock, self._retry_for, self._chance = clock, retry_for, chance
        self._reports, self._stopping = Reports("the outbox"), False
        self._lines = [_Line(target) for target in targets]
        self._tasks = [asyncio.create_task(self._serve(line)) for line in self._lines]
        self._tidying = asyncio.create_task(self._tidy_for_ever())

    def wake(self) -> None:
        """Look into the outbox now: something was put into it."""
        for line in self._lines:
            line.look.set()

    async def stop(self, *, within: float) -> None:
        """Claim nothing more, and let running attempts end, for `within` seconds at most.

        What was not taken is delivered after the next start, or by another node.
        """
        self._stopping = True  # the tasks are not cancelled: one that is claiming would leave its claims behind
        self.wake()
        await asyncio.wait([*self._tasks, *(each for line in self._lines for each in line.attempts)], timeout=within)
        late = {task: attempt.event for line in self._lines for task, attempt in line.attempts.items()}
        for task in (*self._tasks, *late, self._tidying):
            task.cancel()
        await asyncio.gather(*self._tasks, *late, self._tidying, return_exceptions=True)
        await self._give_back(late.values())

    async def _give_back(self, events: Iterable[OutgoingEvent]) -> None:
        """End the claims of events that are not delivered now; if that fails, they end by themselves."""
        now = self._clock()
        with suppress(StorageError, TimeoutError):
            async with asyncio.timeout(GIVEN_BACK):
                await asyncio.gather(*(self.outbox.move_claim(event, now) for event in events))

    async def _serve(self, line: _Line) -> None:
        """Claim events for a target and start attempts, as long as it wants events."""
        loop = asyncio.get_running_loop()
        while not line.closed and not self._stopping:
            line.look.clear()
            wait = POLL
            try:
                await self._extend_claims(line)
                if line.room > 0 and (rest := line.rests_until - loop.time()) <= 0:
                    await self._claim(line)
                elif line.room > 0:
                    wait = rest
            except Exception:  # whatever it is, this target must not stay without events until the next start
                log.exception("the events for %s can't be read, which is tried again", line.target.shown)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await line.look.wait()

    async def _claim(self, line: _Line) -> None:
        now, most = self._clock(), line.room
        try:
            claimed = await self.outbox.claim(line.target.name, now, until=now + CLAIM, most=most)
        except StorageError as fault:
            if not fault.reported:
                self._reports.failed(fault)
            return
        self._reports.succeeded()
        if self._stopping:
            await self._give_back(each.event for each in claimed)
            return
        line.may_be_more = len(claimed) == most
        if claimed:
            reach("claimed")
        for each in claimed:
            attempt = asyncio.create_task(self._attempt(line, each))
            line.attempts[attempt] = _Attempt(each.event, now + CLAIM)
            attempt.add_done_callback(partial(self._note_end, line))

    async def _extend_claims(self, line: _Line) -> None:
        """Extend the claims of attempts that take long, which only a function of the application may do."""
        now = self._clock()
        for attempt in list(line.attempts.values()):
            if attempt.until - now < CLAIM / 2:
                attempt.until = now + CLAIM
                with suppress(StorageError):
                    await self.outbox.move_claim(attempt.event, attempt.until)

    def _note_end(self, line: _Line, attempt: asyncio.Task[None]) -> None:
        del line.attempts[attempt]
        if line.may_be_more:
            line.look.set()
        if not attempt.cancelled() and (fault := attempt.exception()):
            log.error("an event could not be delivered to %s", line.target.shown, exc_info=fault)

    async def _attempt(self, line: _Line, claimed: Claimed) -> None:
        """Try to deliver an event, and note in the outbox what came of it."""
        event = claimed.event
        try:
            await line.target.deliver(event, self._clock())
        except NotTaken as fault:
            line.failures += 1
            if line.failures > AT_ONCE:
                line.rest(min(2.0 ** (line.failures - AT_ONCE - 1), LONGEST_REST))
            if fault.busy:
                line.rest(min(fault.after, LONGEST))
            line.reports.failed(shorten_ids(str(fault)))
            note: Awaitable[bool] = self._put_off(line, claimed, fault)
        except Closed:
            if not line.closed:
                log.warning("%s answered 410, and gets no more events until the next start", line.target.shown)
            line.closed = True
            line.look.set()
            note = self._postpone(event, self._clock())
        else:
            reach("taken")
            line.failures = 0
            line.reports.succeeded()
            self.counts["delivered"] += 1
            note = self.outbox.delivered(event, self._clock())
        try:
            if await note:
                line.look.set()
        except StorageError as fault:  # the claim ends by itself, and the event is delivered again
            if not fault.reported:
                self._reports.failed(fault)

    async def _put_off(self, line: _Line, claimed: Claimed, fault: NotTaken) -> bool:
        """Postpone an event that was not taken; or give it up, if `retry_for` is over.

        The last attempt is made when `retry_for` ends. Returns whether another event is due now.
        """
        event, now = claimed.event, self._clock()
        left = event.since + self._retry_for - now
        if left <= 0:
            why = shorten_ids(f"{event.id}: {fault}")
            log.warning("%s has not taken an event, which is given up: %s", line.target.shown, why)
            self.counts["failed"] += 1
            return await self.outbox.give_up(event, now)
        doubled = min(FIRST * 2.0 ** min(claimed.attempts, 20), LONGEST)
        wait = max(doubled * (1 + JITTER * (2 * self._chance() - 1)), fault.after)
        return await self._postpone(event, now + min(wait, left))

    async def _tidy_for_ever(self) -> None:
        """Give up the events of targets that are not configured any more, once their time is over."""
        while True:
            try:
                await self._tidy()
            except StorageError as fault:
                if not fault.reported:
                    self._reports.failed(fault)
            except Exception:
                log.exception("the outbox can't be tidied, which is tried again in %g s", TIDY_EVERY)
            await asyncio.sleep(TIDY_EVERY)

    async def _tidy(self) -> None:
        served, now = {line.target.name for line in self._lines}, self._clock()
        waiting = self.outbox.waiting()
        late = [event async for event in waiting if event.target not in served and event.since + self._retry_for <= now]
        for event in late:
            await self.outbox.give_up(event, now)
        if late:
            self.counts["failed"] += len(late)
            log.warning("%d events for targets that are not configured any more are given up", len(late))

    async def _postpone(self, event: OutgoingEvent, due: float) -> bool:
        await self.outbox.postpone(event, due)
        return False
