"""The turn of a body at its upload: whoever cuts the body, or follows it, ends its wait for the lease as well."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

from protocol.errors import Locked, Refusal
from server.receive import Body

T = TypeVar("T")


class Turn:
    """The turn of one body."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._waiting: asyncio.Timeout | None = None
        self._cut_by: Refusal | None = None

    def cut(self, why: Refusal) -> None:
        """End the wait, or the body; what has arrived of it still counts."""
        self._body.cut(why)
        self._cut_by = self._cut_by or why
        if self._waiting is not None:
            with suppress(RuntimeError):  # the wait is over at this very moment
                self._waiting.reschedule(asyncio.get_running_loop().time())

    def give_way(self) -> None:
        """End it for a rival, unless nothing more will come anyway."""
        if not self._body.over:
            self.cut(Locked("Another request took the upload over."))

    async def come(self, lease: Awaitable[T]) -> T:
        """Wait for the lease; raises what cut the body meanwhile."""
        try:
            async with asyncio.timeout(0 if self._cut_by else None) as self._waiting:
                return await lease
        except TimeoutError:
            if self._cut_by is None:
                raise
            raise self._cut_by from None
        finally:
            self._waiting = None
