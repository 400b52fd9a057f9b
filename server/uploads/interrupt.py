"""How running work is cut short: by a rival that wants the lease, or by the end of the server.

Nothing is cancelled, because a cancelled task could not record what it has done. Instead the work is asked to end soon:

    Interrupt       for work that can be repeated (hashing, joining): it calls `check` between its steps, which raises
    BodyInterrupt   for a body: it ends as if no more bytes came, and what has arrived is recorded
    Running         all work under way, which the end of the server cuts

    a rival, in this process or by the bus  --> on_rival --> give_way --> cut(Locked)
    SIGTERM --> Engine.stop --> Running.stop -------------------------> cut(Unavailable)

A body may be cut while it still waits for the lease. It waits inside an `asyncio.timeout` that has no end; `cut` sets
that end to now (`reschedule`), and the wait is over. The body itself does the same with its wait for bytes.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

from onward.protocol.errors import Locked, Refusal, Unavailable
from onward.server.uploads.receive import Body
from onward.storage.running.uncancellable import disregard

T = TypeVar("T")


class Interruptible(Protocol):
    """Work that can be cut short."""

    def cut(self, why: Refusal) -> None:
        """End the work soon, keeping what was done."""


C = TypeVar("C", bound=Interruptible)


class Interrupt:
    """Stops work that can be repeated later."""

    def __init__(self) -> None:
        self._why: Refusal | None = None

    def cut(self, why: Refusal) -> None:
        """Stop the work at its next step."""
        self._why = self._why or why

    def give_way(self) -> None:
        """Stop the work for a rival."""
        self.cut(Locked("Another request took the upload over."))

    def check(self) -> None:
        """Raise the reason to stop, if there is one; called by the work between its steps."""
        if self._why is not None:
            raise self._why


class Running:
    """All work under way that the end of the server cuts short."""

    def __init__(self) -> None:
        self.stopping = False
        self.count = 0  # requests that append to an upload or join parts
        self._works: set[Interruptible] = set()

    @contextmanager
    def interruptible(self, work: C) -> Iterator[C]:
        """Let the end of the server cut this work; it is cut at once if the server is already stopping."""
        self._works.add(work)
        if self.stopping:
            work.cut(Unavailable("The server is stopping."))
        try:
            yield work
        finally:
            self._works.discard(work)

    async def finish(self, work: Awaitable[T], interruptible: Interruptible) -> T:
        """Do the work of a request in the task that calls, which nobody may cancel."""
        self.count += 1
        try:
            with self.interruptible(interruptible):
                return await work
        finally:
            self.count -= 1

    async def finish_apart(self, work: Coroutine[Any, Any, T], interruptible: Interruptible) -> T:
        """Do the work of a request in a task of its own. If the caller is cancelled, it is cut short and awaited."""
        task = asyncio.ensure_future(self.finish(work, interruptible))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            interruptible.cut(Unavailable("The request was cancelled."))
            task.add_done_callback(disregard)
            await asyncio.wait({task})
            raise

    def stop(self) -> None:
        """Cut all work, and all that begins from now on."""
        self.stopping = True
        for work in list(self._works):
            work.cut(Unavailable("The server is stopping."))


class BodyInterrupt:
    """Cuts one body, or its wait for the lease."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._waiting: asyncio.Timeout | None = None
        self._cut_by: Refusal | None = None

    def cut(self, why: Refusal) -> None:
        """End the wait, or the body; what has arrived of it still counts."""
        self._body.cut(why)
        self._cut_by = self._cut_by or why
        if self._waiting is not None:
            with suppress(RuntimeError):  # the wait ends at this very moment
                self._waiting.reschedule(asyncio.get_running_loop().time())

    def give_way(self) -> None:
        """Cut the body for a rival, unless all of it has arrived anyway."""
        if not self._body.over:
            self.cut(Locked("Another request took the upload over."))

    async def wait_for(self, lease: Awaitable[T]) -> T:
        """Wait for the lease and return it; raises what cuts the body meanwhile, and what the lease raises."""
        try:
            async with asyncio.timeout(0 if self._cut_by else None) as self._waiting:
                return await lease
        except TimeoutError:
            if self._cut_by is None:
                raise
            raise self._cut_by from None
        finally:
            self._waiting = None
