"""Slow peers, many at once: all are closed in time and cost little, and who is honest comes through.

How much they slow an honest upload down: tests/benchmarks/beside_slow_peers.py.
"""

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path

from http_connection import Tus
from onward_process import peak_memory
from server_process import Start
from slow_peers import deaf, dribble, loris

LORISES, DRIBBLERS, DEAF = 500, 200, 20
WAIT, IDLE, SEND_WAIT = 3, 2, 10.0
LATE = 8.0  # seconds that hundreds of connections may take on a busy machine
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
    server = start(f"--header-wait={WAIT}", f"--body-idle={IDLE}", "--body-rate=1024", "--durability=process")
    tus, pid = server.tus, server.process.pid
    await asyncio.to_thread(honest, tus)
    paths = [await asyncio.to_thread(tus.create, 4096) for _ in range(DRIBBLERS)]
    before, open_before = peak_memory(pid), descriptors(pid)
    async with asyncio.TaskGroup() as peers:
        lorises = [peers.create_task(loris(tus.port)) for _ in range(LORISES)]
        dribblers = [peers.create_task(dribble(tus, path, 4096)) for path in paths]
        async with asyncio.timeout(WAIT):
            while descriptors(pid) - open_before <= LORISES + DRIBBLERS:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await asyncio.to_thread(honest, tus)

    assert max(each.result() for each in lorises) < WAIT + LATE
    assert max(each.result() for each in dribblers) < IDLE + 1 + LATE
    assert peak_memory(pid) - before < MEMORY
    for path in paths[::20]:
        assert 1 <= await asyncio.to_thread(tus.offset, path) <= IDLE + 3, "what a dribbler has sent is kept"
    await settled(pid, open_before)


async def test_watchers_that_never_read_are_closed_and_hold_nobody_up(start: Start) -> None:
    server = start("--durability=none")
    tus, pid = server.tus, server.process.pid
    path = await asyncio.to_thread(tus.create, 2 * STEPS)
    assert (await asyncio.to_thread(tus.patch, path, 0, b"x")).status == 204
    before, open_before = peak_memory(pid), descriptors(pid)
    with ExitStack() as watchers:
        for _ in range(DEAF):
            watchers.enter_context(deaf(tus, path))
        for at in range(1, STEPS):
            assert tus.patch(path, at, b"x").status == 204
        honest(tus)
        assert descriptors(pid) - open_before >= DEAF
        await settled(pid, open_before, SEND_WAIT + LATE)
        assert peak_memory(pid) - before < MEMORY


async def settled(pid: int, wanted: int, within: float = LATE) -> None:
    """Wait until a process has no more descriptors than before."""
    async with asyncio.timeout(within):
        while descriptors(pid) > wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
