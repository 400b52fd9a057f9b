"""What every outbox promises, the same over each state: order, claims, attempts, and one step with the record."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from test_state_contract import ID, UPLOAD, ignore, url_of

from onward.protocol.events import EventType, OutgoingEvent, event_id
from onward.protocol.model import UploadId
from onward.storage import open_storage
from onward.storage.base import Claimed, Missing, OutboxCounts, Stale, State

A, B = "https://a.example/hook", "https://b.example/hook"
OTHER = UploadId("1" * 32)
STATES = ["memory", "sqlite", "redis", "cluster"]


def event(seq: int, type: EventType, *, target: str = A, upload: UploadId = ID, since: float = 10.0) -> OutgoingEvent:
    """Make an event; its body says which one it is."""
    body = f'{{"type": "{type}", "upload": "{upload}"}}'.encode()
    return OutgoingEvent(target=target, id=event_id(upload, type), upload=upload, seq=seq, body=body, since=since)


CREATED, COMPLETED = event(1, EventType.CREATED), event(2, EventType.COMPLETED, since=11.0)


@pytest.fixture(params=STATES)
async def state(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[State]:
    monkeypatch.setattr("onward.storage.state.redis.outbox.SCAN", 0.0)
    url = url_of(request.param, request)
    storage = await open_storage(state=url, blobs="memory:", data=tmp_path)
    yield storage.state
    await storage.close()


async def claimed(state: State, now: float, target: str = A, until: float = 100.0, most: int = 10) -> list[Claimed]:
    return await state.outbox.claim(target, now, until=until, most=most)


async def save(state: State, *events: OutgoingEvent, id: UploadId = ID) -> None:
    """Save a record once more, with events."""
    async with state.hold(id, wait=1, on_rival=ignore) as lease:
        await state.save(replace(await state.load(id), epoch=lease.epoch), events=events)


async def test_an_event_of_a_new_record_is_due_at_once_with_all_that_was_saved(state: State) -> None:
    await state.insert(UPLOAD, events=[CREATED])
    assert await claimed(state, 9.0) == [], "it is due when it happened, not earlier"
    assert await claimed(state, 10.0) == [Claimed(CREATED, 0)]


async def test_events_of_one_queue_come_in_order_and_one_at_a_time(state: State) -> None:
    await state.insert(UPLOAD, events=[CREATED])
    await save(state, COMPLETED)
    assert await claimed(state, 20.0) == [Claimed(CREATED, 0)]
    assert await claimed(state, 20.0) == [], "the second waits until the first is delivered"
    assert await state.outbox.delivered(CREATED, 21.0), "there is another one"
    assert await claimed(state, 21.0) == [Claimed(COMPLETED, 0)]
    assert not await state.outbox.delivered(COMPLETED, 22.0)
    assert await claimed(state, 1000.0) == []
    assert await state.outbox.count() == OutboxCounts(0, 0, None)


async def test_queues_of_other_uploads_and_targets_do_not_wait(state: State) -> None:
    await state.insert(UPLOAD, events=[CREATED, replace(CREATED, target=B)])
    others = event(1, EventType.CREATED, upload=OTHER, since=5.0)
    await state.insert(replace(UPLOAD, id=OTHER), events=[others])
    assert sorted(await claimed(state, 20.0), key=lambda each: each.event.since) == [
        Claimed(others, 0),
        Claimed(CREATED, 0),
    ]
    assert await claimed(state, 20.0, target=B) == [Claimed(replace(CREATED, target=B), 0)]


async def test_no_more_are_claimed_than_were_asked_for(state: State) -> None:
    for number in range(5):
        id_ = UploadId(f"{number:032x}")
        await state.insert(replace(UPLOAD, id=id_), events=[event(1, EventType.CREATED, upload=id_, since=number)])
    first = await claimed(state, 20.0, most=2)
    second = await claimed(state, 20.0, most=2)
    third = await claimed(state, 20.0, most=2)
    assert (len(first), len(second), len(third)) == (2, 2, 1)
    assert sorted(each.event.since for each in (*first, *second, *third)) == [0.0, 1.0, 2.0, 3.0, 4.0]


async def test_a_claim_ends_by_itself(state: State) -> None:
    await state.insert(UPLOAD, events=[CREATED])
    await claimed(state, 20.0, until=50.0)
    assert await claimed(state, 49.0) == []
    assert await claimed(state, 50.0, until=80.0) == [Claimed(CREATED, 0)]
    await state.outbox.delivered(CREATED, 51.0)
    await state.outbox.delivered(CREATED, 52.0)
    assert await claimed(state, 1000.0) == []


async def test_the_end_of_a_claim_can_be_moved(state: State) -> None:
    await state.insert(UPLOAD, events=[CREATED])
    await claimed(state, 20.0, until=50.0)
    await state.outbox.move_claim(CREATED, 80.0)
    assert await claimed(state, 79.0) == []
    assert await claimed(state, 80.0, until=90.0) == [Claimed(CREATED, 0)]
    await state.outbox.move_claim(CREATED, 81.0)
    assert await claimed(state, 81.0, until=90.0) == [Claimed(CREATED, 0)]
    await state.outbox.delivered(CREATED, 82.0)
    await state.outbox.move_claim(CREATED, 90.0)
    assert await claimed(state, 1000.0) == []


async def test_many_claims_at_once_give_each_event_to_one(state: State) -> None:
    for number in range(30):
        id_ = UploadId(f"{number:032x}")
        await state.insert(replace(UPLOAD, id=id_), events=[event(1, EventType.CREATED, upload=id_)])
    found = await asyncio.gather(*(claimed(state, 20.0, most=5) for _ in range(12)))
    ids = [each.event.upload for some in found for each in some]
    assert (len(ids), len(set(ids))) == (30, 30)


async def test_a_postponed_event_is_due_later_and_counts_its_attempts(state: State) -> None:
    await state.insert(UPLOAD, events=[CREATED])
    await save(state, COMPLETED)
    for attempts in range(3):
        now = 20.0 + 10 * attempts
        assert await claimed(state, now) == [Claimed(CREATED, attempts)]
        await state.outbox.postpone(CREATED, now + 10)
        assert await claimed(state, now + 9) == [], "neither it nor the one behind it"
    await state.outbox.delivered(CREATED, 60.0)
    await state.outbox.postpone(CREATED, 70.0)
    assert await claimed(state, 65.0) == [Claimed(COMPLETED, 0)], "what was delivered does not come back"


async def test_a_failed_event_is_kept_and_lets_the_next_one_go(state: State) -> None:
    await state.insert(UPLOAD, events=[CREATED])
    await save(state, COMPLETED)
    await claimed(state, 20.0)
    assert await state.outbox.give_up(CREATED, 21.0), "there is another one"
    await state.outbox.give_up(CREATED, 21.0)
    assert await claimed(state, 21.0) == [Claimed(COMPLETED, 0)]
    assert await state.outbox.count() == OutboxCounts(1, 1, 11.0)
    assert [each async for each in state.outbox.failed()] == [CREATED]
    assert [each async for each in state.outbox.waiting()] == [COMPLETED]


async def test_failed_events_wait_again_in_front_of_later_ones(state: State) -> None:
    await state.insert(UPLOAD, events=[CREATED])
    await save(state, COMPLETED)
    await claimed(state, 20.0)
    await state.outbox.postpone(CREATED, 20.0)
    await claimed(state, 20.0)
    await state.outbox.give_up(CREATED, 21.0)
    assert await state.outbox.retry(500.0) == 1
    assert await state.outbox.retry(501.0) == 0
    again = replace(CREATED, since=500.0)
    assert await claimed(state, 499.0) == []
    assert await claimed(state, 500.0, until=600.0) == [Claimed(again, 0)]
    assert {each.id: each async for each in state.outbox.waiting()} == {again.id: again, COMPLETED.id: COMPLETED}
    await state.outbox.delivered(again, 502.0)
    assert await claimed(state, 502.0) == [Claimed(COMPLETED, 0)]
    assert (await state.outbox.count()).failed == 0


async def test_a_retry_does_not_give_an_event_that_is_being_delivered_to_another(state: State) -> None:
    await state.insert(UPLOAD, events=[CREATED])
    await save(state, COMPLETED)
    await state.outbox.give_up(CREATED, 20.0)
    assert await claimed(state, 21.0) == [Claimed(COMPLETED, 0)]
    await state.outbox.retry(22.0)
    again = replace(CREATED, since=22.0)
    assert await claimed(state, 22.0, until=200.0) == [Claimed(again, 0)]
    await state.outbox.delivered(COMPLETED, 23.0)
    assert await claimed(state, 23.0) == []
    await state.outbox.delivered(again, 24.0)
    assert await state.outbox.count() == OutboxCounts(0, 0, None)


async def test_a_save_that_is_refused_leaves_no_event(state: State) -> None:
    await state.insert(UPLOAD)
    with pytest.raises(Stale):
        await state.save(UPLOAD, events=[COMPLETED])
    async with state.hold(ID, wait=1, on_rival=ignore) as lease:
        with pytest.raises(Stale):
            await state.save(replace(UPLOAD, version=7, epoch=lease.epoch), events=[COMPLETED])
    with pytest.raises(Missing):
        await state.save(replace(UPLOAD, id=OTHER), events=[COMPLETED])
    assert await state.outbox.count() == OutboxCounts(0, 0, None)


async def test_events_stay_when_their_record_is_forgotten(state: State) -> None:
    await state.insert(UPLOAD, events=[CREATED])
    await state.forget(ID)
    assert await claimed(state, 20.0) == [Claimed(CREATED, 0)]


async def test_many_events_are_listed_and_retried(state: State) -> None:
    events = []
    for number in range(450):
        id_ = UploadId(f"{number:032x}")
        events.append(event(1, EventType.CREATED, upload=id_))
        await state.insert(replace(UPLOAD, id=id_), durable=False, events=events[-1:])
    assert sorted([each.upload async for each in state.outbox.waiting()]) == [each.upload for each in events]
    for each in events:
        await state.outbox.give_up(each, 20.0)
    assert sorted([each.upload async for each in state.outbox.failed()]) == [each.upload for each in events]
    assert await state.outbox.retry(30.0) == 450
    assert await state.outbox.count() == OutboxCounts(450, 0, 30.0)
