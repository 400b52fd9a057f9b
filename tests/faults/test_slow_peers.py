"""Slow peers, many at once: all are closed in time and cost little, and who is honest comes through.

How much they slow an honest upload down: tests/benchmarks/beside_slow_peers.py.
"""

import asyncio
import os
import time
from contextlib import ExitStack
from pathlib import Path

from http_connection import Tus
from onward_process import peak_memory
from server_process import Start
from slow_peers import deaf, dribble, loris

LORISES, DRIBBLERS, DEAF = 500, 200, 20
WAIT, IDLE, SEND_WAIT = 3, 2, 10.0
LATE = 8.0  # seconds that hundreds of connections may take
SLOWER = (1, 2, 4, 8)  # all times are multiplied by these in turn, until the machine is quick enough for them
MEMORY = 40 * 2**20
SIZE, STEPS = 2**23, 400


def honest(tus: Tus) -> None:
    """Upload a file, and check it."""
    data = os.urandom(SIZE)
    path = tus.begun(data, SIZE // 2)
    tus.check_holds(path, data, SIZE // 2)


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def test_slow_peers_are_closed_and_cost_little(start: Start) -> None:
    for slower in SLOWER:
        if await all_at_once(start, slower):
            return
    raise AssertionError("the peers are never there all at once")


async def all_at_once(start: Start, slower: int) -> bool:
    """Let the peers come, and check what becomes of them; gives False if the first has to go before the last comes."""
    wait, idle, late = WAIT * slower, IDLE * slower, LATE * slower
    server = start(f"--header-wait={wait}", f"--body-idle={idle}", "--body-rate=1024", "--durability=process")
    tus, pid = server.tus, server.process.pid
    await asyncio.to_thread(honest, tus)
    paths = [await asyncio.to_thread(tus.create, 4096) for _ in range(DRIBBLERS)]
    before, open_before = peak_memory(pid), descriptors(pid)
    most, end = 0, time.monotonic() + wait
    async with asyncio.TaskGroup() as peers:
        lorises = [peers.create_task(loris(tus.port)) for _ in range(LORISES)]
        dribblers = [peers.create_task(dribble(tus, path, 4096)) for path in paths]
        while most <= LORISES + DRIBBLERS and time.monotonic() < end:
            await asyncio.sleep(0.05)
            most = max(most, descriptors(pid) - open_before)
        await asyncio.to_thread(honest, tus)

    if most <= LORISES + DRIBBLERS:
        return False
    assert max(each.result() for each in lorises) < wait + late
    assert max(each.result() for each in dribblers) < idle + 1 + late
    assert peak_memory(pid) - before < MEMORY
    for path in paths[::20]:
        assert 1 <= await asyncio.to_thread(tus.offset, path) <= idle + 3 * slower, "what a dribbler has sent is kept"
    await settled(pid, open_before, late)
    return True


async def test_watchers_that_never_read_are_closed_and_hold_nobody_up(start: Start) -> None:
    server = start("--durability=none")
    tus, pid = server.tus, server.process.pid
    path = await asyncio.to_thread(tus.create, 2 * STEPS)
    assert (await asyncio.to_thread(tus.patch, path, 0, b"x")).status == 204
    before, open_before = peak_memory(pid), descriptors(pid)
    with ExitStack() as watchers:
        began = time.monotonic()
        for _ in range(DEAF):
            watchers.enter_context(deaf(tus, path))
        for at in range(1, STEPS):
            assert tus.patch(path, at, b"x").status == 204
        honest(tus)
        took = time.monotonic() - began
        assert descriptors(pid) - open_before >= DEAF or took > SEND_WAIT, "they may go only after that time"
        await settled(pid, open_before, SEND_WAIT + max(LATE, took))
        assert peak_memory(pid) - before < MEMORY


async def settled(pid: int, wanted: int, within: float) -> None:
    """Wait until a process has no more descriptors than before."""
    async with asyncio.timeout(within):
        while descriptors(pid) > wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
