"""Who watches in one process: one subscription for all, the newest message for who is late, the final one at once."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import pytest

from onward.protocol.errors import Unavailable
from onward.protocol.model import UploadId
from onward.protocol.progress import Progress
from onward.server.watch import broadcast
from onward.server.watch.broadcast import Broadcast
from onward.server.watch.subscriber import Subscriber
from onward.storage.base import StorageError
from onward.storage.state.memory import MemoryState

ONE, OTHER = UploadId("1" * 32), UploadId("2" * 32)


@pytest.fixture
async def transport() -> AsyncIterator[asyncio.Transport]:
    ours, theirs = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    yield transport
    transport.abort()
    theirs.close()
    await asyncio.sleep(0)


@pytest.fixture
def watched() -> Broadcast:
    return Broadcast(MemoryState(), per_upload=0, per_address=0)


def told(seq: int, id: UploadId = ONE, *, final: bool = False) -> Progress:
    return Progress(id=id, seq=seq, final=final, json=json.dumps({"seq": seq}))


async def rest(watcher: Subscriber) -> list[tuple[UploadId, int]]:
    """Read to the end."""
    messages = []
    while (message := await watcher.next()) is not None:
        messages.append((message.id, message.seq))
    return messages


async def test_nothing_of_an_upload_is_sent_after_its_final_message(transport: asyncio.Transport) -> None:
    watcher = Subscriber(transport, "", [ONE, OTHER])
    for message in (told(1, final=True), told(2, final=True), told(1, OTHER)):
        watcher.put(message)
    assert [(await watcher.next()), (await watcher.next())] == [told(1, final=True), told(1, OTHER)]
    watcher.put(told(3, final=True))
    watcher.put(told(2, OTHER, final=True))
    assert await rest(watcher) == [(OTHER, 2)]


async def test_who_is_late_gets_the_newest_and_the_final_one(transport: asyncio.Transport) -> None:
    watcher = Subscriber(transport, "", [ONE, OTHER])
    watcher.greet(told(4, OTHER), 4)
    for seq in (1, 3, 2):
        watcher.put(told(seq))
    watcher.put(told(4, OTHER))
    assert await watcher.next() == told(3)
    watcher.put(told(3))
    watcher.put(told(4))
    watcher.put(told(5, final=True))
    watcher.put(told(6, OTHER, final=True))
    assert await rest(watcher) == [(ONE, 5), (OTHER, 6)]
    assert watcher.over


async def test_a_watcher_that_knows_the_end_gets_nothing(transport: asyncio.Transport) -> None:
    watcher = Subscriber(transport, "", [ONE])
    watcher.greet(told(5, final=True), 5)
    assert watcher.over
    assert await rest(watcher) == []


@pytest.mark.parametrize("known", [-1, 3, 4, 6, 10**18])
async def test_who_names_another_state_gets_what_came_while_it_was_read(
    transport: asyncio.Transport, known: int
) -> None:
    watcher = Subscriber(transport, "", [ONE])
    watcher.put(told(5, final=True))
    watcher.greet(told(4), known)
    assert await rest(watcher) == [(ONE, 5)]


async def test_one_subscription_serves_all_and_ends_with_the_last(transport: asyncio.Transport) -> None:
    state = MemoryState()
    watched = Broadcast(state, per_upload=0, per_address=0)
    tasks = asyncio.all_tasks()
    with ExitStack() as stack:
        watchers = [stack.enter_context(watched.joined(transport, "", [ONE])) for _ in range(120)]
        watchers += [stack.enter_context(watched.joined(transport, "", [OTHER, ONE]))]
        await asyncio.gather(*(watched.ready(watcher) for watcher in watchers))
        assert len(asyncio.all_tasks()) - len(tasks) == 2
        reading = [asyncio.create_task(rest(watcher)) for watcher in watchers]
        for seq in range(1, 20):
            state._hub.deliver(told(seq))
            await asyncio.sleep(0)
        state._hub.deliver(told(20, final=True))
        state._hub.deliver(told(1, OTHER, final=True))
        messages = await asyncio.gather(*reading)
        assert all((ONE, 20) in each for each in messages)
        assert (OTHER, 1) in messages[-1]
        assert all(each == sorted(each) for each in messages[:-1])
    async with asyncio.timeout(10):
        while asyncio.all_tasks() != tasks:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert not watched.watchers


async def test_a_final_message_waits_for_no_rest(transport: asyncio.Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "REST", 1e9)
    monkeypatch.setattr(broadcast, "PACE", 3600.0)
    state = MemoryState()
    watched = Broadcast(state, per_upload=0, per_address=0)
    with watched.joined(transport, "", [ONE]) as watcher:
        await watched.ready(watcher)
        state._hub.deliver(told(1))
        assert await watcher.next() == told(1)
        state._hub.deliver(told(2))
        waiting = asyncio.create_task(watcher.next())
        await asyncio.sleep(0.1)
        assert not waiting.done(), "the rounds rest"
        state._hub.deliver(told(3, final=True))
        async with asyncio.timeout(10):
            assert await waiting == told(3, final=True)


async def test_a_message_in_a_rest_is_sent_after_it(
    transport: asyncio.Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "REST", 1e9)
    monkeypatch.setattr(broadcast, "PACE", 0.2)
    state = MemoryState()
    watched = Broadcast(state, per_upload=0, per_address=0)
    with watched.joined(transport, "", [ONE]) as watcher:
        await watched.ready(watcher)
        for seq in (1, 2, 3):
            state._hub.deliver(told(seq))
            await asyncio.sleep(0.02)
        async with asyncio.timeout(10):
            assert [await watcher.next(), await watcher.next()] == [told(1), told(3)]


class Broken(MemoryState):
    """A state whose events can't be had."""

    @asynccontextmanager
    async def subscribe(self, id: UploadId) -> AsyncIterator[AsyncIterator[Progress]]:
        for _ in ():
            yield _
        raise StorageError("no events")


async def test_where_events_fail_watchers_are_let_go(transport: asyncio.Transport) -> None:
    watched = Broadcast(Broken(), per_upload=0, per_address=0)
    for _ in range(2):
        with watched.joined(transport, "", [ONE]) as watcher:
            async with asyncio.timeout(10):
                await watched.ready(watcher)
                assert await rest(watcher) == []
            assert not watcher.over
            with watched.joined(transport, "", [ONE]) as late:
                assert late.done


async def test_nobody_joins_a_server_that_stops(transport: asyncio.Transport, watched: Broadcast) -> None:
    with watched.joined(transport, "", [ONE]) as watcher:
        watched.stop()
        assert await rest(watcher) == []
        with pytest.raises(Unavailable), watched.joined(transport, "", [ONE]):
            pass
