"""Redis as it fails: a lost lease, a lost answer, a bus that was gone, two nodes."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis
from msgspec.structs import replace
from redis.asyncio.client import PubSub
from redis_process import RedisProcess, redis_server
from test_outbox_contract import A, event
from test_state_contract import ID, UPLOAD, ignore

import onward.storage.state.redis.bus
import onward.storage.state.redis.leases
from onward.protocol.events import EventType
from onward.protocol.model import UploadId
from onward.protocol.progress import progress
from onward.storage.base import Claimed, Held, OutboxCounts, Stale, Unreachable
from onward.storage.codec import encode
from onward.storage.state.redis import scripts
from onward.storage.state.redis.bus import message
from onward.storage.state.redis.keys import bucket_of, keys_of
from onward.storage.state.redis.state import RedisState, open_state


@pytest.fixture
async def nodes(redis_url: str) -> AsyncIterator[tuple[RedisState, RedisState]]:
    one, other = await open_state(redis_url, Path(), node="a"), await open_state(redis_url, Path(), node="b")
    yield one, other
    await one.close()
    await other.close()


async def test_a_lost_lease_is_reported_and_cannot_save(
    redis_process: RedisProcess, nodes: tuple[RedisState, RedisState], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onward.storage.state.redis.leases, "LEASE", 0.6)
    state, _ = nodes
    await state.insert(UPLOAD)
    lost = asyncio.Event()
    async with state.hold(ID, wait=0, on_rival=lost.set) as lease:
        await asyncio.sleep(1.2)
        await state.save(replace(UPLOAD, epoch=lease.epoch))
        assert not lost.is_set()
        with redis.Redis(port=redis_process.port) as client:
            client.delete(keys_of(ID).lease)
        await asyncio.wait_for(lost.wait(), 2)
        with pytest.raises(Stale):
            await state.save(replace(UPLOAD, epoch=lease.epoch, version=2))


async def test_a_repeated_save_succeeds(nodes: tuple[RedisState, RedisState]) -> None:
    state, _ = nodes
    await state.insert(UPLOAD)
    async with state.hold(ID, wait=0, on_rival=ignore) as lease:
        changed = replace(UPLOAD, epoch=lease.epoch, offset=5)
        saved = await state.save(changed)
        assert await state.save(changed) == saved
        token = state._leases.token(ID, lease.epoch) or ""
        words = (encode(replace(saved, offset=4)), 1, lease.epoch, "", ID, 1, 0, 0, token, "channel", "", "")
        assert await state._run(scripts.SAVE, ID, *words) == b"STALE"


async def test_the_last_save_gives_the_lease_up_in_the_same_step(
    redis_process: RedisProcess, nodes: tuple[RedisState, RedisState]
) -> None:
    one, other = nodes
    await one.insert(UPLOAD)
    async with one.hold(ID, wait=0, on_rival=ignore) as lease:
        saved = await one.save(replace(UPLOAD, epoch=lease.epoch, offset=5), last=True)
        assert not lease.holds()
        with pytest.raises(Stale):
            await one.save(saved)
        async with other.hold(ID, wait=0, on_rival=ignore) as after:
            assert (after.left_by, after.record) == (None, saved)
        before = calls(redis_process, "evalsha")
    assert calls(redis_process, "evalsha") == before


async def test_a_last_save_that_is_repeated_finds_its_own_document_and_leaves_the_lease_of_another_alone(
    nodes: tuple[RedisState, RedisState],
) -> None:
    one, other = nodes
    await one.insert(UPLOAD)
    async with one.hold(ID, wait=0, on_rival=ignore) as lease:
        token = one._leases.token(ID, lease.epoch) or ""
        document = encode(replace(UPLOAD, epoch=lease.epoch, offset=5, version=UPLOAD.version + 1))
        words = (document, UPLOAD.version, lease.epoch, "", ID, 1, 0, 0, token, "channel", "", "a")
        assert await one._run(scripts.SAVE, ID, *words) == b"OK"
        async with other.hold(ID, wait=0, on_rival=ignore) as after:
            assert await one._run(scripts.SAVE, ID, *words) == b"OK"
            assert after.record is not None
            await other.save(replace(after.record, epoch=after.epoch, offset=6))
            assert await one._run(scripts.SAVE, ID, *words) == b"STALE"


async def test_a_last_save_that_is_stale_gives_nothing_up_before_the_end(
    nodes: tuple[RedisState, RedisState],
) -> None:
    one, other = nodes
    await one.insert(UPLOAD)
    async with one.hold(ID, wait=0, on_rival=ignore) as lease:
        with pytest.raises(Stale):
            await one.save(replace(UPLOAD, epoch=lease.epoch, version=UPLOAD.version + 1), last=True)
        with pytest.raises(Held):
            async with other.hold(ID, wait=0, on_rival=ignore):
                pass
    async with other.hold(ID, wait=0, on_rival=ignore) as after:
        assert (after.left_by, after.record) == (None, UPLOAD)


async def test_a_lease_does_not_count_as_held_while_its_last_save_is_under_way(
    redis_process: RedisProcess, nodes: tuple[RedisState, RedisState]
) -> None:
    state, _ = nodes
    await state.insert(UPLOAD)
    async with state.hold(ID, wait=0, on_rival=ignore) as lease:
        redis_process.command("CLIENT", "PAUSE", 300)
        saving = asyncio.create_task(state.save(replace(UPLOAD, epoch=lease.epoch), last=True))
        await asyncio.sleep(0.05)
        assert (saving.done(), lease.holds()) == (False, False)
        await saving


async def test_a_rival_on_another_node_gets_the_lease(nodes: tuple[RedisState, RedisState]) -> None:
    one, other = nodes
    await one.insert(UPLOAD)
    asked = asyncio.Event()
    began = time.monotonic()

    async def rival() -> None:
        async with other.hold(ID, wait=5, on_rival=ignore):
            pass

    async with one.hold(ID, wait=0, on_rival=asked.set):
        task = asyncio.create_task(rival())
        await asyncio.wait_for(asked.wait(), 1)
    await asyncio.wait_for(task, 1)
    assert time.monotonic() - began < 1


def calls(server: RedisProcess, name: str) -> int:
    """Return how often a Redis has done a command."""
    return int(server.command("INFO", "commandstats").get(f"cmdstat_{name}", {}).get("calls", 0))


async def test_of_the_requests_that_wait_in_one_process_one_asks_redis(
    redis_process: RedisProcess, nodes: tuple[RedisState, RedisState]
) -> None:
    one, other = nodes
    await one.insert(UPLOAD)
    given: list[int] = []

    async def wait() -> None:
        async with other.hold(ID, wait=30, on_rival=ignore) as lease:
            given.append(lease.epoch)

    async with one.hold(ID, wait=0, on_rival=ignore):
        before = calls(redis_process, "evalsha")
        waiting = [asyncio.create_task(wait()) for _ in range(50)]
        await asyncio.sleep(2)
        assert calls(redis_process, "evalsha") - before < 50
    await asyncio.wait_for(asyncio.gather(*waiting), 20)
    assert given == sorted(set(given))


async def test_a_rival_in_the_same_process_needs_no_bus(
    redis_process: RedisProcess, nodes: tuple[RedisState, RedisState]
) -> None:
    one, _ = nodes
    await one.insert(UPLOAD)
    asked = asyncio.Event()

    async def rival() -> None:
        async with one.hold(ID, wait=20, on_rival=ignore):
            pass

    async with one.hold(ID, wait=0, on_rival=asked.set):
        before = calls(redis_process, "publish")
        task = asyncio.create_task(rival())
        await asyncio.wait_for(asked.wait(), 10)
        assert calls(redis_process, "publish") == before
    await asyncio.wait_for(task, 10)


async def test_a_late_release_does_not_hide_a_later_lease_of_the_same_node(
    redis_process: RedisProcess, nodes: tuple[RedisState, RedisState]
) -> None:
    one, other = nodes
    await one.insert(UPLOAD)
    lease = keys_of(ID).lease
    async with one.hold(ID, wait=0, on_rival=ignore) as first:
        ended = one._leases._held[ID, first.epoch]
    async with one.hold(ID, wait=0, on_rival=ignore):
        redis_process.delete(lease)  # as if the holder had been suspended until its lease ended
        for late in (ended, onward.storage.state.redis.leases._Held("a token that was refused")):
            await one._leases._release(ID, late)
        async with other.hold(ID, wait=0, on_rival=ignore) as after:
            assert after.left_by == "a"
            for late in (ended, onward.storage.state.redis.leases._Held("a token that was refused")):
                await one._leases._release(ID, late)
        async with other.hold(ID, wait=0, on_rival=ignore) as after:
            assert after.left_by == "a"
    async with other.hold(ID, wait=0, on_rival=ignore) as after:
        assert after.left_by is None


async def test_watchers_and_records_come_back_with_redis(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        state = await open_state(server.url, Path())
        await state.insert(UPLOAD)
        async with state.subscribe(ID) as events:
            await asyncio.to_thread(server.stop)
            with pytest.raises(Unreachable):
                await state.load(ID)
            await asyncio.to_thread(server.start)
            assert await asyncio.wait_for(anext(events), 10) == progress(UPLOAD)
            assert await state.load(ID) == UPLOAD
        await state.close()


async def test_the_bus_closes_although_the_client_library_swallows_a_cancellation(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = await open_state(redis_url, Path())
    get_message = PubSub.get_message

    async def swallowing(pubsub: PubSub, timeout: float) -> Any:
        try:
            return await get_message(pubsub, timeout=timeout)
        except asyncio.CancelledError:
            return None

    monkeypatch.setattr(PubSub, "get_message", swallowing)
    await asyncio.sleep(2)  # what waits now waits in the function above
    await asyncio.wait_for(asyncio.shield(asyncio.create_task(state.close())), 3)


async def test_a_redis_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        await open_state("redis://127.0.0.1:1/0", tmp_path)


async def test_a_message_that_cannot_be_read_stops_nothing(
    redis_process: RedisProcess, nodes: tuple[RedisState, RedisState]
) -> None:
    one, _ = nodes
    await one.insert(UPLOAD)
    async with one.subscribe(ID) as messages:
        with redis.Redis(port=redis_process.port) as client:
            for odd in (b"garbage", b"\xff", b"{}", b'{"id": 5}', b"[]"):
                client.publish(f"onward:progress:{ID}", odd)
                client.publish("onward:yield", odd)
            client.publish(
                f"onward:progress:{ID}",
                b'{"id": "%b", "seq": 8, "final": false, "json": "{}", "later": 1}' % ID.encode(),
            )
            async with asyncio.timeout(5):
                while (await anext(messages)).seq != 8:
                    pass
            client.publish(*message(progress(replace(UPLOAD, version=9))))
        assert (await asyncio.wait_for(anext(messages), 5)).seq == 9


async def test_a_watcher_that_leaves_while_joining_leaves_nothing_behind(
    nodes: tuple[RedisState, RedisState],
) -> None:
    state, _ = nodes

    async def join_in() -> None:
        async with state.subscribe(ID):
            pass

    for pause in (0, 0.001, 0.005):
        joining = asyncio.create_task(join_in())
        await asyncio.sleep(pause)
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
    assert set(state._bus._confirmed) == {"onward:yield"}


async def test_a_watcher_gets_a_record_whose_message_was_never_sent(
    nodes: tuple[RedisState, RedisState],
) -> None:
    one, other = nodes
    await one.insert(UPLOAD)
    async with one.subscribe(ID) as messages:
        while (await asyncio.wait_for(anext(messages), 5)).seq != UPLOAD.version:
            pass
        async with other.hold(ID, wait=0, on_rival=ignore) as lease:
            saved = await other.save(replace(UPLOAD, epoch=lease.epoch, offset=5))
        assert (await asyncio.wait_for(anext(messages), onward.storage.state.redis.bus.LOOK + 3)).seq == saved.version


async def test_many_that_are_due_are_asked_for_page_by_page(
    redis_process: RedisProcess, nodes: tuple[RedisState, RedisState]
) -> None:
    state, _ = nodes
    with redis.Redis(port=redis_process.port) as client:
        for number in range(5000):
            client.zadd(bucket_of(UploadId(f"{number:032x}")).due, {f"{number:032x}": 1.0 + number})
        due = state.due(10_000)
        first = await anext(due)
        client.flushall()
    rest = [id_ async for id_ in due]
    assert (first, 200 < len(rest) < 1500, rest == sorted(rest)) == ("0" * 32, True, True)


async def test_an_adopted_record_has_an_epoch_beyond_all_forgotten_leases_by_any_clock(
    redis_process: RedisProcess, nodes: tuple[RedisState, RedisState]
) -> None:
    state, _ = nodes
    epoch = int(time.time() * 1000) + 10**9  # it was adopted once before, by a clock that is set back now
    await state.insert(replace(UPLOAD, epoch=epoch))
    async with state.hold(ID, wait=0, on_rival=ignore):
        pass
    async with state.hold(ID, wait=0, on_rival=ignore) as lease:
        forgotten = lease.epoch
    redis_process.flush()
    await state.adopt(replace(UPLOAD, epoch=epoch))
    async with state.hold(ID, wait=0, on_rival=ignore) as lease:
        assert lease.epoch > forgotten


async def test_an_event_whose_document_was_evicted_does_not_stop_those_behind_it(
    redis_process: RedisProcess, nodes: tuple[RedisState, RedisState]
) -> None:
    state, _ = nodes
    created, completed = event(1, EventType.CREATED), event(2, EventType.COMPLETED)
    await state.insert(UPLOAD, events=[created])
    with redis.Redis(port=redis_process.port) as client:
        client.delete(f"{bucket_of(ID).tag}:documents")
    assert await state.outbox.claim(A, 20.0, until=30.0, most=1) == []
    assert await state.outbox.count() == OutboxCounts(0, 0, None)
    async with state.hold(ID, wait=1, on_rival=ignore) as lease:
        await state.save(replace(UPLOAD, epoch=lease.epoch), events=[completed])
    assert await state.outbox.claim(A, 20.0, until=30.0, most=1) == [Claimed(completed, 0)]
