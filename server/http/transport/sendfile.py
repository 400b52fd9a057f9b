"""Sends a file by the kernel's `sendfile`, without copying its bytes into this process.

Downloads use it on plain connections. The call runs in a thread, since the disk may be slow; while a client is slow,
the event loop waits, and no thread is held.
"""

import asyncio
import os
from math import inf

from onward.server.http.transport.tcp import STALL, untaken
from onward.storage.base import Missing
from onward.storage.running.threads import Threads

STEP = 2**24  # bytes that a thread sends before it takes the next download


async def send_file(transport: asyncio.Transport, file: int, start: int, stop: int, threads: Threads) -> None:
    """Send the bytes [start, stop) of a file over a plain connection; asyncio's write buffer must be empty.

    Raises TimeoutError if the client accepts no byte for STALL seconds, ConnectionError if it is gone, and Missing if
    the file is shorter.
    """
    out = os.dup(transport.get_extra_info("socket").fileno())  # the event loop can watch a descriptor once only
    try:
        while start < stop:
            end = min(start + STEP, stop)
            start = await threads.call(_send_some, out, file, start, end)
            if start < end:
                await _writable(out)
    finally:
        os.close(out)


def _send_some(out: int, file: int, start: int, stop: int) -> int:
    """Send as much as the client accepts now, and return the position that was reached."""
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
    """Wait until the socket accepts bytes again; raises TimeoutError if the client acknowledges none.

    The system reports room only once a third of its buffer is free. For a slow client that may take longer than STALL,
    so the unacknowledged bytes are compared as well.
    """
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
