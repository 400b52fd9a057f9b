"""Delivery of progress inside one process.

Each watcher has a mailbox that holds one message; a newer message replaces an older one that was not read yet. So a
slow watcher neither delays a save nor needs memory for what it has missed. Called by the states, and by the Redis bus.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from onward.protocol.model import UploadId
from onward.protocol.progress import Progress


class Mailbox:
    """The newest message that one watcher has not read yet."""

    def __init__(self) -> None:
        self._newest: Progress | None = None
        self._filled = asyncio.Event()

    def put(self, progress: Progress) -> None:
        """Keep a message if it is newer than the waiting one; never blocks."""
        if self._newest is None or progress.order > self._newest.order:
            self._newest = progress
            self._filled.set()

    def __aiter__(self) -> AsyncIterator[Progress]:
        return self

    async def __anext__(self) -> Progress:
        while (progress := self._newest) is None:
            self._filled.clear()
            await self._filled.wait()
        self._newest = None
        return progress


class Hub:
    """Delivers messages to the watchers of this process."""

    def __init__(self) -> None:
        self._mailboxes: defaultdict[UploadId, set[Mailbox]] = defaultdict(set)

    def deliver(self, progress: Progress) -> None:
        """Put a message into the mailbox of each watcher of its upload."""
        for mailbox in self._mailboxes.get(progress.id, ()):
            mailbox.put(progress)

    def count(self, id: UploadId) -> int:
        """Return the number of watchers that an upload has in this process."""
        return len(self._mailboxes.get(id, ()))

    def ids(self) -> list[UploadId]:
        """Return the uploads that have watchers in this process."""
        return list(self._mailboxes)

    @contextmanager
    def mailbox(self, id: UploadId) -> Iterator[Mailbox]:
        """Open a mailbox for one watcher of an upload."""
        mailbox = Mailbox()
        self._mailboxes[id].add(mailbox)
        try:
            yield mailbox
        finally:
            self._mailboxes[id].discard(mailbox)
            if not self._mailboxes[id]:
                del self._mailboxes[id]
