"""The turn of a body at its upload: whoever cuts the body, or follows it, ends its wait for the lease as well."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar

from onward.protocol.errors import Locked, Refusal, Unavailable
from onward.server.uploads.receive import Body

T = TypeVar("T")


class Interruptible(Protocol):
    """Work that a rival or the end of the server can cut short."""

    def cut(self, why: Refusal) -> None:
        """End it soon, with what was done."""


C = TypeVar("C", bound=Interruptible)


class Interrupt:
    """Lets a rival, or the end of the server, stop work that can be done again later."""

    def __init__(self) -> None:
        self._why: Refusal | None = None

    def cut(self, why: Refusal) -> None:
        """Stop the work at its next step."""
        self._why = self._why or why

    def give_way(self) -> None:
        """Stop the work for a rival."""
        self.cut(Locked("Another request took the upload over."))

    def check(self) -> None:
        """Raise what stops the work, if anything does."""
        if self._why is not None:
            raise self._why


class Running:
    """All work that the end of the server cuts short."""

    def __init__(self) -> None:
        self.stopping = False
        self._works: set[Interruptible] = set()

    @contextmanager
    def interruptible(self, work: C) -> Iterator[C]:
        """Let the end of the server cut the work."""
        self._works.add(work)
        if self.stopping:
            work.cut(Unavailable("The server is stopping."))
        try:
            yield work
        finally:
            self._works.discard(work)

    def stop(self) -> None:
        """Cut it all, and whatever begins from now on."""
        self.stopping = True
        for work in list(self._works):
            work.cut(Unavailable("The server is stopping."))


class BodyInterrupt:
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
