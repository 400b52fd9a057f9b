"""The file that one body is written to: the `BlobWriter` of the local folder."""

import os
from collections.abc import Awaitable, Callable

from onward.storage.base import Block
from onward.storage.blobs.files import mapped, write_all
from onward.storage.failpoints import reach


class FileWriter:
    """A file that is opened by the first thread that writes to it, so that an empty body opens none."""

    def __init__(self, open_: Callable[[], int], sync: Callable[[int], Awaitable[None]]) -> None:
        self._open, self._sync = open_, sync
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
        reach("written")

    def trim(self, at: int) -> int:
        """Remove all bytes from a position on, and return how many there were."""
        fd = self.descriptor()
        with mapped():
            if (after := os.fstat(fd).st_size - at) > 0:
                os.ftruncate(fd, at)
        return max(after, 0)

    async def sync(self) -> None:
        """Make durable what was written; raises Full or Unreachable."""
        if self.fd is None:  # nothing was written
            return
        with mapped():
            await self._sync(self.fd)
        reach("synced")
