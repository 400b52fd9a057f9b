"""A file sent by the kernel, past aiohttp: its bytes are copied into no buffer of ours.

In a thread, since the disk may be slow; the event loop waits for a client that takes its time.
"""

import asyncio
import os
from math import inf

from onward.server.http.transport.tcp import STALL, untaken
from onward.storage.base import Missing
from onward.storage.running.threads import Threads

STEP = 2**24  # bytes that one call may send, before others have their turn


async def send_file(transport: asyncio.Transport, file: int, start: int, stop: int, threads: Threads) -> None:
    """Send the bytes [start, stop) of a file, once all that was written to a plain connection has left.

    Raises TimeoutError for a client that accepts none, ConnectionError for one that is gone, and Missing for a file
    that has fewer.
    """
    out = os.dup(transport.get_extra_info("socket").fileno())  # the event loop waits for no other's
    try:
        while start < stop:
            end = min(start + STEP, stop)
            start = await threads.call(_send_some, out, file, start, end)
            if start < end:
                await _writable(out)
    finally:
        os.close(out)


def _send_some(out: int, file: int, start: int, stop: int) -> int:
    """Send as much as the client takes now, and give the position that was reached."""
    while start < stop:
        try:
            count = os.sendfile(out, file, start, stop - start)
        except BlockingIOError:
            break
        if not count:
            raise Missing(f"the bytes end at {start}, before {stop}")
        start += count
    return start


async def _writable(out: int) -> None:
    """Wait for room, as long as it takes: the system tells of it only once a third of what it holds has left."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(out, wake)
    before = inf
    try:
        while not ready.done():
            if (waiting := untaken(out)) >= before:
                raise TimeoutError
            before = waiting
            await asyncio.wait({ready}, timeout=STALL)
    finally:
        loop.remove_writer(out)
