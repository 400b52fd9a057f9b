"""Resets the connection of a client that accepts nothing of what is sent to it for `tcp.STALL` seconds.

`connection.py` starts the watch when asyncio has bytes that the system does not accept, and ends it when they are gone.
A slow client is left alone: what counts is whether fewer bytes wait than at the last look.
"""

import asyncio
from contextlib import suppress
from math import inf

from onward.server.http.transport.tcp import STALL, reset, untaken


class StallWatch:
    """The watch over one connection; at most one timer runs at a time."""

    __slots__ = ("_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport) -> None:
        """Look at the connection now, and then once in every STALL seconds."""
        self._look(transport, inf)

    def end(self) -> None:
        """Stop looking; does nothing if no look is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, transport: asyncio.Transport, before: float) -> None:
        waiting = transport.get_write_buffer_size()
        with suppress(OSError, ValueError):  # closed meanwhile
            waiting += untaken(transport.get_extra_info("socket").fileno())
        if waiting >= before:
            reset(transport)
        else:
            self._timer = self._loop.call_later(STALL, self._look, transport, waiting)
