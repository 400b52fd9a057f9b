"""The file that one body is written to: the `BlobWriter` of the local folder."""

import os
from collections.abc import Awaitable, Callable

from onward.protocol.model import Place
from onward.storage.base import Block
from onward.storage.blobs.files import mapped, write_all
from onward.storage.failpoints import reach


class FileWriter:
    """A file that is opened by the first thread that writes to it, so that an empty body opens none.

    `sync` makes a descriptor durable; it is None if bytes are acknowledged that only the operating system has.
    """

    full = False  # a thread that writes to a local disk waits for it
    boundary = None
    steady = True  # a sync of a file leaves out what comes later, and a write does not wait for it

    def __init__(
        self, place: Place, at: int, open_: Callable[[], int], sync: Callable[[int], Awaitable[None]] | None
    ) -> None:
        self.place, self.lasts = place, sync is None
        self._reached, self._open, self._sync = at, open_, sync
        self.fd: int | None = None

    def descriptor(self) -> int:
        """Return the descriptor; opens the file if it is not open yet. Raises Missing, Stale, Full or Unreachable."""
        if self.fd is None:
            self.fd = self._open()
        return self.fd

    def write(self, block: Block, at: int) -> None:
        """Write the whole block at a position; raises what `descriptor` raises."""
        fd = self.descriptor()
        with mapped():
            write_all(fd, block, at)
        self._reached = at + len(block)
        reach("written")

    def trim(self, at: int) -> int:
        """Remove all bytes from a position on, and return how many there were; raises what `descriptor` raises."""
        fd = self.descriptor()
        if (after := os.fstat(fd).st_size - at) > 0:
            os.ftruncate(fd, at)
        return max(after, 0)

    async def drained(self) -> None:
        """Return at once: this writer is never full."""

    async def sync(self, *, ended: bool = False) -> int:  # noqa: ARG002
        """Make durable what was written, and return its end; raises Full or Unreachable."""
        if self.fd is not None and self._sync is not None:
            reached = self._reached
            with mapped():
                await self._sync(self.fd)
            reach("synced")
            return reached
        return self._reached
