"""Redis as it fails, between PATCHes, in the middle of one and at the last byte: nothing told is taken back, all ends well."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import tus_requests as tus
from checking_watcher import Watcher
from retrying_sender import MAY_TRY_AGAIN, PIECE, Sender
from server_pair import Group, redis_group

BOUND = 30.0  # seconds from the end of a fault until every upload is complete; 12 are enough where nothing else runs
SHORT, LONG = 2.5, 6.5  # seconds, within a lease and longer than one
HALF, SIZE, LARGE = 2**19, 2**20, 3 * 2**20
Act = Callable[[Group], Coroutine[None, None, None]]


async def killed(group: Group) -> None:
    group.redis.stop()
    await asyncio.sleep(SHORT)
    await asyncio.to_thread(group.redis.start)


async def killed_at_once(group: Group) -> None:
    group.redis.stop()
    await asyncio.to_thread(group.redis.start)


async def emptied(group: Group) -> None:
    group.redis.stop()
    group.redis.lose()
    await asyncio.sleep(0.3)
    await asyncio.to_thread(group.redis.start)


async def flushed(group: Group) -> None:
    for _ in range(3):
        group.redis.flush()
        await asyncio.sleep(0.4)


async def scripts_flushed(group: Group) -> None:
    for _ in range(3):
        group.redis.command("SCRIPT", "FLUSH")
        await asyncio.sleep(0.2)


async def full(group: Group) -> None:
    group.redis.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    group.redis.command("CONFIG", "SET", "maxmemory", 1)
    await asyncio.sleep(SHORT)
    group.redis.command("CONFIG", "SET", "maxmemory", 0)


async def stopped_shortly(group: Group) -> None:
    group.redis.pause()
    await asyncio.sleep(SHORT)
    group.redis.go_on()


async def stopped_long(group: Group) -> None:
    group.redis.pause()
    await asyncio.sleep(LONG)
    group.redis.go_on()


async def paused(group: Group) -> None:
    group.redis.command("CLIENT", "PAUSE", 3000, "WRITE")
    await asyncio.sleep(3)


async def asleep(group: Group) -> None:
    await asyncio.to_thread(group.redis.command, "DEBUG", "SLEEP", 4)


async def read_only(group: Group) -> None:
    group.redis.command("REPLICAOF", "127.0.0.1", 1)
    await asyncio.sleep(SHORT)
    group.redis.command("REPLICAOF", "NO", "ONE")


async def failed_over(group: Group) -> None:
    """Promote the replica, and go on for a while with the primary whose writes it does not get."""
    assert group.replica is not None
    for _ in range(100):  # leases come and go meanwhile
        if await asyncio.to_thread(group.replica.command, "DBSIZE") == group.redis.command("DBSIZE"):
            break
        await asyncio.sleep(0.02)
    else:
        raise AssertionError("the replica was never in step")
    group.replica.command("REPLICAOF", "NO", "ONE")
    await asyncio.sleep(0.8)
    for line in group.lines:
        line.switch(group.replica.port)


async def cut_off(group: Group) -> None:
    group.lines[0].cut()
    await asyncio.sleep(LONG)
    group.lines[0].mend()


async def stalled(group: Group) -> None:
    group.lines[0].stall()
    await asyncio.sleep(LONG)
    group.lines[0].mend()


async def slow(group: Group) -> None:
    group.lines[0].delay = 1.5
    await asyncio.sleep(LONG)
    group.lines[0].mend()


async def unheard(group: Group) -> None:
    for _ in range(3):
        group.redis.command("CLIENT", "KILL", "TYPE", "pubsub")
        await asyncio.sleep(0.3)


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to Redis; how many of the servers, from the first one on, have to tell that they aren't ready."""

    act: Act
    unready: int = 0
    allowed: frozenset[int] = MAY_TRY_AGAIN
    replicated: bool = False


FAULTS = {
    "for longer": (
        Fault(stopped_long, 2), Fault(cut_off, 1), Fault(stalled, 1), Fault(slow, 1),
        Fault(killed, 2), Fault(full, 2, MAY_TRY_AGAIN | {507}), Fault(read_only, 2), Fault(paused, 2),
    ),
    "shortly": (
        Fault(asleep, 2), Fault(stopped_shortly), Fault(emptied), Fault(failed_over, replicated=True),
        Fault(flushed), Fault(scripts_flushed), Fault(killed_at_once), Fault(unheard),
    ),
}  # fmt: skip


async def strike(fault: Fault, folder: Path) -> float:
    """Let a fault strike three uploads at once; gives the seconds from its end until all was well again."""
    async with redis_group(folder, replicated=fault.replicated) as group, asyncio.TaskGroup() as sending:
        watchers: list[Watcher] = []

        def sender(
            which: int, size: int, *, ends: Sequence[int] = (), gate: int | None = None, pause: float = 0.0
        ) -> Sender:
            return Sender(
                group.http, group.nodes, os.urandom(size), ends=ends, gate=gate, pause=pause,
                allowed=fault.allowed, floor=lambda: watchers[which].told if watchers else 0,
            )  # fmt: skip

        idle = sender(0, SIZE, ends=[HALF], gate=HALF)
        middle = sender(1, LARGE, pause=0.03)
        last = sender(2, SIZE, gate=SIZE - PIECE)
        senders = (idle, middle, last)
        for each in senders:
            await each.create()
        watchers += [Watcher(each.url(group.nodes[index % 2])) for index, each in enumerate(senders)]
        async with watchers[0].watching(), watchers[1].watching(), watchers[2].watching():
            sent = [sending.create_task(each.finish()) for each in senders]
            await asyncio.gather(idle.waiting.wait(), last.waiting.wait(), watchers[1].until(2**18))
            act = sending.create_task(fault.act(group))
            await asyncio.sleep(0.05)
            idle.opened.set()
            last.opened.set()
            await act
            lifted = time.monotonic()
            await asyncio.wait_for(asyncio.gather(*sent), BOUND)
            for each, watcher in zip(senders, watchers, strict=True):
                await watcher.until(len(each.data), BOUND)
            await group.until_ready(BOUND)
        took = time.monotonic() - lifted
        for each, watcher in zip(senders, watchers, strict=True):
            await check_ended(group, each, watcher)
        for told in group.ready[: fault.unready]:
            assert False in told[:-2], f"{fault.act.__name__}: a server was always ready"
        for node in group.nodes:
            assert "Traceback" not in node.log(), node.log()
        return took


async def check_ended(group: Group, sender: Sender, watcher: Watcher) -> None:
    """Check that an upload is complete and right, for everybody and on every server, and that nobody was told it was gone."""
    assert (watcher.last["status"], watcher.last["sha256"]) == ("completed", sender.sha256)
    assert not watcher.refusals & {404, 410, 500}
    assert (group.nodes[0].data / "files" / sender.id).read_bytes() == sender.data
    for node in group.nodes:
        assert await tus.offset(group.http, sender.url(node)) == len(sender.data)
        async with group.http.get(f"{sender.url(node)}/progress") as answer:
            told = await answer.json()
        assert told["seq"] >= watcher.last["seq"]
        assert (told["status"], told["uploadedBytes"]) == ("completed", len(sender.data))


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
async def test_nothing_acknowledged_is_taken_back_and_all_ends_well(faults: Sequence[Fault], tmp_path: Path) -> None:
    for fault in faults:
        (tmp_path / fault.act.__name__).mkdir()
    async with asyncio.TaskGroup() as strikes:
        running = {fault: strikes.create_task(strike(fault, tmp_path / fault.act.__name__)) for fault in faults}
    for fault, done in running.items():
        print(f"{fault.act.__name__}: all was well {done.result():.1f} s after its end")
