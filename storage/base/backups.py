"""The seam of the backups: copies of records that are kept beside the bytes.

A state that is shared by several servers (Redis) may come back empty, or with older records than it had. Then its
records are restored from these copies; `storage/recovery.py` does that, and is the only caller. A state that lives in
the data folder itself (SQLite) needs no backups. They are kept by whoever keeps the bytes, and end with those.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from onward.protocol.model import Upload, UploadId


class Backups(Protocol):
    """Copies of records beside the bytes. Every method raises Full or Unreachable."""

    @property
    def store(self) -> str:
        """Return the name of the data folder: random, made once, and the same for all servers that use the folder."""

    async def begin(self, upload: Upload, *, durable: bool) -> None:
        """Write the first copy of a record; `durable` asks for a sync.

        Raises Stale if there is a copy of another record under this id that is as new or newer.
        """

    async def keep(self, upload: Upload, *, durable: bool) -> None:
        """Replace the copy by a newer one; a crash in between leaves the older one.

        Raises Missing if there is no copy yet, and Stale if there is another one that is as new or newer.
        """

    async def kept(self, id: UploadId) -> Upload | None:
        """Return the newest copy, or None if there is none."""

    async def kept_of(self, ids: Sequence[UploadId]) -> Sequence[Upload | None]:
        """Return what `kept` returns for each; one that can't be read fails the whole call."""

    async def renew(self, upload: Upload, holds: Callable[[], bool]) -> None:
        """Put this copy into a new file, so that a former holder of the lease can no longer write to it.

        Raises Stale if the caller itself has lost the lease meanwhile.
        """

    async def drop(self, id: UploadId) -> None:
        """Remove the copies of an upload; may be repeated."""

    async def probe(self) -> None:
        """Check whether copies can be written at the moment."""

    def ids(self) -> AsyncIterator[UploadId]:
        """Yield the ids of all uploads that have copies."""
