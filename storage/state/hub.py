"""Fan-out inside one process: a mailbox of one for each watcher, in which the newest message replaces the older."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from onward.protocol.model import UploadId
from onward.protocol.progress import Progress


class Mailbox:
    """What one watcher has not read yet: at most the newest message."""

    def __init__(self) -> None:
        self._newest: Progress | None = None
        self._filled = asyncio.Event()

    def put(self, progress: Progress) -> None:
        """Keep a message if it is newer than the one that waits; never blocks."""
        if self._newest is None or progress.seq > self._newest.seq:
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
        """Give the number of watchers that an upload has here."""
        return len(self._mailboxes.get(id, ()))

    def ids(self) -> list[UploadId]:
        """Give the uploads that have watchers here."""
        return list(self._mailboxes)

    @contextmanager
    def mailbox(self, id: UploadId) -> Iterator[Mailbox]:
        """Give a watcher its mailbox."""
        mailbox = Mailbox()
        self._mailboxes[id].add(mailbox)
        try:
            yield mailbox
        finally:
            self._mailboxes[id].discard(mailbox)
            if not self._mailboxes[id]:
                del self._mailboxes[id]
