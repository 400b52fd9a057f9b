"""When events are delivered, tried again and given up, in simulated time; and what a receiver that is down costs."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from math import inf

import pytest
from simulated_time import run_simulated
from test_outbox_contract import event

from onward.protocol.events import EventType, OutgoingEvent
from onward.protocol.model import UploadId
from onward.server.events.delivery import AT_ONCE, CLAIM, POLL, Delivery
from onward.server.events.webhook import Closed, NotTaken, Target
from onward.storage.base import Claimed, OutboxCounts, Unreachable
from onward.storage.state.outbox import MemoryOutbox

HOUR, DAY = 3600.0, 86400.0
START = 1_000_000.0  # of the clock of the records, when the loop's time is 0


def clock() -> float:
    """Give the time of the records."""
    return START + asyncio.get_running_loop().time()


class FakeTarget:
    """Takes an event, or not, as a test says; notes when."""

    def __init__(self, name: str, answer: Callable[[float], BaseException | float | None] = lambda now: None) -> None:
        self.name = self.shown = name
        self.answer = answer  # gets the loop's time; a number is how long it hangs until its time-out
        self.came: defaultdict[str, list[float]] = defaultdict(list)  # when, for each id
        self.taken: list[tuple[float, OutgoingEvent]] = []
        self.running = self.most_running = 0

    async def deliver(self, event: OutgoingEvent, now: float) -> None:
        """Be delivered to."""
        loop = asyncio.get_running_loop()
        assert now == START + loop.time()
        self.came[event.id].append(loop.time())
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            answer = self.answer(loop.time())
            if isinstance(answer, float):
                await asyncio.sleep(answer)
                raise NotTaken("no answer")
            if answer is not None:
                raise answer
        finally:
            self.running -= 1
        self.taken.append((loop.time(), event))

    def order(self, upload: UploadId) -> list[str]:
        """Give the ids of the events of an upload in the order in which they were taken."""
        return [event.id for _, event in self.taken if event.upload == upload]


class CountingOutbox(MemoryOutbox):
    """Counts the calls, and fails for a while if it is told to."""

    fails_until = -inf

    def __init__(self) -> None:
        super().__init__()
        self.claims = 0

    async def claim(self, target: str, now: float, *, until: float, most: int) -> list[Claimed]:
        self.claims += 1
        if now < self.fails_until:
            raise Unreachable("gone")
        return await super().claim(target, now, until=until, most=most)


def upload_id(number: int) -> UploadId:
    return UploadId(f"{number:032x}")


async def queue(outbox: MemoryOutbox, number: int, *targets: str, type: EventType = EventType.CREATED) -> None:
    """Record an upload that was created and completed, with its events for each target."""
    id_ = upload_id(number)
    for seq, kind in enumerate((EventType.CREATED, EventType.COMPLETED), 1):
        events = [event(seq, kind, target=target, upload=id_, since=clock()) for target in targets]
        outbox.put(events)
    await asyncio.sleep(0)


def deliver(outbox: MemoryOutbox, *targets: Target, retry_for: float = 3 * DAY, chance: float = 0.5) -> Delivery:
    return Delivery(outbox, targets, clock=clock, retry_for=retry_for, chance=lambda: chance)


def test_an_event_is_delivered_as_soon_as_it_is_there() -> None:
    async def work() -> None:
        outbox, target = CountingOutbox(), FakeTarget("a")
        delivery = deliver(outbox, target)
        await asyncio.sleep(POLL / 2)
        await queue(outbox, 1, "a")
        delivery.wake()
        await asyncio.sleep(0.001)
        assert [(at, event.upload) for at, event in target.taken] == [(POLL / 2, upload_id(1))] * 2
        await queue(outbox, 2, "a")  # by another node: nobody wakes this one
        await asyncio.sleep(POLL)
        assert target.order(upload_id(2)) == [f"{upload_id(2)}_created", f"{upload_id(2)}_completed"]
        assert await outbox.count() == OutboxCounts(0, 0, None)
        assert delivery.counts == {"delivered": 4, "failed": 0}
        await delivery.stop(within=1)

    run_simulated(work())


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_an_event_is_tried_again_after_1_s_doubling_to_1_h_until_it_is_given_up(chance: float) -> None:
    async def work() -> None:
        outbox, target = CountingOutbox(), FakeTarget("a", lambda now: NotTaken("status 500"))
        await queue(outbox, 1, "a")
        delivery = deliver(outbox, target, retry_for=6 * HOUR, chance=chance)
        await asyncio.sleep(7 * HOUR)
        created, completed = f"{upload_id(1)}_created", f"{upload_id(1)}_completed"
        waits = [after - before for before, after in pairwise(target.came[created])]
        for number, wait in enumerate(waits[:-1]):
            assert wait == pytest.approx(min(2.0**number, HOUR) * (0.8 + 0.4 * chance), abs=POLL), number
        assert target.came[created][-1] == pytest.approx(6 * HOUR, abs=POLL), (
            "the last attempt is when the time is over"
        )
        assert target.came[completed][0] >= target.came[created][-1], "it waited until the first one was given up"
        await asyncio.sleep(2 * HOUR)
        assert await outbox.count() == OutboxCounts(0, 2, None)
        assert delivery.counts == {"delivered": 0, "failed": 2}
        await delivery.stop(within=1)

    run_simulated(work())


def test_retry_after_is_honoured() -> None:
    async def work() -> None:
        outbox, target = (
            CountingOutbox(),
            FakeTarget("a", lambda now: NotTaken("429", after=120.0, busy=True) if now < 100 else None),
        )
        await queue(outbox, 1, "a")
        await queue(outbox, 2, "a")
        delivery = deliver(outbox, target)
        await asyncio.sleep(119)
        assert sum(map(len, target.came.values())) == 2
        await queue(outbox, 3, "a")
        delivery.wake()
        await asyncio.sleep(0)
        assert sum(map(len, target.came.values())) == 2, "a target that is busy gets no other event either"
        await asyncio.sleep(3)
        assert len(target.taken) == 6
        await delivery.stop(within=1)

    run_simulated(work())


def test_a_target_that_wants_no_more_gets_no_more_until_the_next_start() -> None:
    async def work() -> None:
        outbox, target, other = CountingOutbox(), FakeTarget("a", lambda now: Closed()), FakeTarget("b")
        for number in range(30):
            await queue(outbox, number, "a", "b")
        delivery = deliver(outbox, target, other)
        await asyncio.sleep(HOUR)
        assert sum(map(len, target.came.values())) <= AT_ONCE
        assert len(other.taken) == 60
        assert await outbox.count() == OutboxCounts(60, 0, START)
        await delivery.stop(within=1)
        target.answer = lambda now: None
        delivery = deliver(outbox, target, other)
        await asyncio.sleep(1)
        assert len(target.taken) == 60
        await delivery.stop(within=1)

    run_simulated(work())


@pytest.mark.parametrize("down", [15.0, NotTaken("Connection refused")], ids=["hangs", "refuses"])
def test_a_target_that_is_down_for_an_hour_costs_next_to_nothing_and_delays_no_other(
    down: BaseException | float,
) -> None:
    async def work() -> None:
        outbox = CountingOutbox()
        bad = FakeTarget("bad", lambda now: down if now < HOUR else None)
        good = FakeTarget("good")
        delivery = deliver(outbox, bad, good)
        for number in range(600):
            await queue(outbox, number, "bad", "good")
            delivery.wake()
            await asyncio.sleep(6)
        assert len(good.taken) == 1200
        assert max(at - (event.since - START) for at, event in good.taken) == 0.0, "at once"
        assert bad.taken == []
        attempts = sum(map(len, bad.came.values()))
        assert attempts <= 300, "it rests"
        assert bad.most_running <= AT_ONCE
        assert sum(len(line.attempts) for line in delivery._lines) <= 2 * AT_ONCE, "what waits is in the outbox"
        await asyncio.sleep(1.2 * HOUR)
        assert len(bad.taken) == 1200
        for number in range(600):
            id_ = upload_id(number)
            assert bad.order(id_) == good.order(id_) == [f"{id_}_created", f"{id_}_completed"]
        assert await outbox.count() == OutboxCounts(0, 0, None)
        await delivery.stop(within=1)

    run_simulated(work())


def test_one_upload_whose_events_fail_delays_no_other_upload() -> None:
    async def work() -> None:
        outbox, target = CountingOutbox(), FakeTarget("a")

        async def refuse_one(event: OutgoingEvent, now: float, take: Callable[..., object] = target.deliver) -> None:
            if event.upload == upload_id(0):
                raise NotTaken("status 400")
            await target.__class__.deliver(target, event, now)

        target.deliver = refuse_one  # type: ignore[method-assign]
        await queue(outbox, 0, "a")
        delivery = deliver(outbox, target)
        for number in range(1, 100):
            await queue(outbox, number, "a")
            delivery.wake()
            await asyncio.sleep(1)
            assert len(target.order(upload_id(number))) == 2
        await delivery.stop(within=1)

    run_simulated(work())


def test_a_function_that_takes_an_hour_is_not_called_a_second_time() -> None:
    async def work() -> None:
        outbox = CountingOutbox()

        class Slow(FakeTarget):
            async def deliver(self, event: OutgoingEvent, now: float) -> None:
                self.came[event.id].append(now)
                await asyncio.sleep(HOUR)
                self.taken.append((now, event))

        slow, sly = Slow("a"), Slow("a")
        await queue(outbox, 1, "a")
        one, other = deliver(outbox, slow), deliver(outbox, sly)
        await asyncio.sleep(2 * HOUR + 10)
        assert [event.id.rpartition("_")[2] for _, event in slow.taken + sly.taken] == ["created", "completed"]
        assert sum(map(len, (slow.came | sly.came).values())) == 2
        await one.stop(within=1)
        await other.stop(within=1)

    run_simulated(work())


def test_a_stop_waits_for_what_runs_but_not_for_long_and_the_next_start_delivers_it() -> None:
    async def work() -> None:
        outbox, target = CountingOutbox(), FakeTarget("a", lambda now: 15.0)
        await queue(outbox, 1, "a")
        delivery = deliver(outbox, target)
        await asyncio.sleep(1)
        await queue(outbox, 2, "a")
        delivery.wake()
        began = asyncio.get_running_loop().time()
        await delivery.stop(within=0.5)
        assert asyncio.get_running_loop().time() == began + 0.5
        claims = outbox.claims
        await asyncio.sleep(10)
        assert (outbox.claims, target.running) == (claims, 0)
        target.answer = lambda now: None
        delivery = deliver(outbox, target)
        await asyncio.sleep(POLL)  # the claims were given back
        for number in (1, 2):
            id_ = upload_id(number)
            assert target.order(id_) == [f"{id_}_created", f"{id_}_completed"]
        await delivery.stop(within=1)

    run_simulated(work())


def test_a_state_that_does_not_answer_is_asked_again() -> None:
    async def work() -> None:
        outbox, target = CountingOutbox(), FakeTarget("a")
        outbox.fails_until = START + 100
        await queue(outbox, 1, "a")
        delivery = deliver(outbox, target)
        await asyncio.sleep(110)
        assert len(target.taken) == 2
        assert outbox.claims <= 120
        await delivery.stop(within=1)

    run_simulated(work())


def test_an_attempt_whose_end_can_not_be_noted_is_repeated_with_the_same_id() -> None:
    async def work() -> None:
        outbox, target = CountingOutbox(), FakeTarget("a")
        delivered = outbox.delivered

        async def fail_once(event: OutgoingEvent, now: float) -> bool:
            outbox.delivered = delivered  # type: ignore[method-assign]
            raise Unreachable("gone")

        outbox.delivered = fail_once  # type: ignore[method-assign]
        await queue(outbox, 1, "a")
        delivery = deliver(outbox, target)
        await asyncio.sleep(CLAIM + 2)
        id_ = upload_id(1)
        assert target.order(id_) == [f"{id_}_created", f"{id_}_created", f"{id_}_completed"]
        assert target.came[f"{id_}_created"][1] >= CLAIM
        await delivery.stop(within=1)

    run_simulated(work())


def test_a_stop_in_the_middle_of_a_claim_gives_it_back() -> None:
    async def work() -> None:
        class Slow(CountingOutbox):
            async def claim(self, target: str, now: float, *, until: float, most: int) -> list[Claimed]:
                claimed = await super().claim(target, now, until=until, most=most)
                await asyncio.sleep(0.1)
                return claimed

        outbox, target = Slow(), FakeTarget("a")
        await queue(outbox, 1, "a")
        delivery = deliver(outbox, target)
        await asyncio.sleep(0.05)
        await delivery.stop(within=1)
        assert not target.came
        assert len(await outbox.claim("a", clock(), until=clock() + 1, most=8)) == 1

    run_simulated(work())


def test_events_of_a_target_that_is_not_configured_any_more_are_given_up_when_their_time_is_over() -> None:
    async def work() -> None:
        outbox, target = CountingOutbox(), FakeTarget("a")
        await queue(outbox, 1, "a", "gone")
        delivery = deliver(outbox, target, retry_for=5 * HOUR)
        await asyncio.sleep(4 * HOUR)
        assert await outbox.count() == OutboxCounts(2, 0, START)
        await asyncio.sleep(1.5 * HOUR)
        assert await outbox.count() == OutboxCounts(0, 2, None)
        assert delivery.counts == {"delivered": 2, "failed": 2}
        await delivery.stop(within=1)

    run_simulated(work())


def test_an_unexpected_fault_of_the_outbox_does_not_end_the_delivery(caplog: pytest.LogCaptureFixture) -> None:
    class Damaged(CountingOutbox):
        async def claim(self, target: str, now: float, *, until: float, most: int) -> list[Claimed]:
            if now < START + 10:
                raise TypeError("nonsense")
            return await super().claim(target, now, until=until, most=most)

    async def work() -> None:
        outbox, target = Damaged(), FakeTarget("a")
        await queue(outbox, 1, "a")
        delivery = deliver(outbox, target)
        await asyncio.sleep(15)
        assert len(target.taken) == 2
        await delivery.stop(within=1)

    run_simulated(work())
    assert "the events for a can't be read" in caplog.text
