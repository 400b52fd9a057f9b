"""The seam of a bucket for finished files, and a local file on its way there.

An object appears whole or not at all, and never in the place of another one. Its metadata says which upload it is of,
and the SHA-256 of its bytes. So whoever repeats an interrupted publishing finds what was done already.
"""

import hashlib
import os
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple, Protocol

from onward.protocol.headers import build_disposition
from onward.protocol.model import UploadId
from onward.storage.base import About, Missing, Stale
from onward.storage.failpoints import reach
from onward.storage.running.threads import Threads

OWNER, SHA256 = "onward", "sha256"  # the names of the metadata of an object
UNKNOWN_TYPE = "application/octet-stream"


class Found(NamedTuple):
    """An object that is there."""

    size: int
    owner: str
    sha256: str


class Source:
    """A verified local file, read once from its beginning; its bytes are hashed again meanwhile.

    `holds` says whether the lease is held, and `check` may raise to stop a long transfer.
    """

    def __init__(  # noqa: PLR0917
        self,
        id: UploadId,
        fd: int,
        length: int,
        about: About,
        threads: Threads,
        holds: Callable[[], bool],
        check: Callable[[], None],
    ) -> None:
        self.id, self.length = id, length
        self._fd, self._about, self._threads, self._holds, self._check = fd, about, threads, holds, check
        self._at, self._sha256 = 0, hashlib.sha256()

    @property
    def metadata(self) -> dict[str, str]:
        """Return the metadata of the object."""
        return {OWNER: self.id, SHA256: self._about.sha256.hex()}

    @property
    def content_type(self) -> str:
        """Return the media type of the object."""
        return self._about.content_type or UNKNOWN_TYPE

    @property
    def disposition(self) -> str:
        """Return the Content-Disposition of the object, with the file's name."""
        return build_disposition("attachment", self._about.file_name)

    async def block(self, size: int) -> bytes:
        """Return the next bytes, `size` of them or the rest; raises Missing, and what `check` raises."""
        self._check()
        return await self._threads.call(self._read, min(size, self.length - self._at))

    def _read(self, size: int) -> bytes:
        pieces, end = list[bytes](), self._at + size
        while self._at < end:
            pieces.append(piece := os.pread(self._fd, end - self._at, self._at))
            if not piece:
                raise Missing(f"{self.id} ends at {self._at}")
            self._at += len(piece)
        block = b"".join(pieces)
        self._sha256.update(block)
        return block

    async def blocks(self, size: int) -> AsyncGenerator[bytes, None]:
        """Yield all bytes, and look at the end whether the object may appear; raises what `last_look` raises."""
        while self._at < self.length:
            yield await self.block(size)
        self.last_look()

    def last_look(self) -> None:
        """Check, right before the object appears, that it has the verified bytes. Raises Missing or Stale."""
        if self._about.sha256 and self._sha256.digest() != self._about.sha256:
            raise Missing(f"the bytes of {self.id} are not those that were verified")
        if not self._holds():
            raise Stale(self.id)
        reach("publishing")


class Bucket(Protocol):
    """A bucket; names are relative to its prefix. Every method may raise Unreachable, and `put` Full."""

    async def look(self, name: str) -> Found | None:
        """Return what is at a name, or None."""

    async def put(self, name: str, source: Source) -> None:
        """Make an object of a file, in constant memory, unless there is one already.

        Raises Taken if there is one, perhaps its own, and what `Source` raises; then nothing appears.
        """

    def stream(self, name: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes [start, stop) of an object, or as many of them as there are."""

    async def link(self, name: str, disposition: str, seconds: int) -> str:
        """Return a URL under which anybody can get an object for a while."""

    async def remove(self, name: str) -> None:
        """Remove an object; may be repeated."""

    async def drop(self, id: UploadId) -> None:
        """Remove what an interrupted `put` for an upload may have left under another name; may be repeated."""

    async def abandon(self, before: float) -> None:
        """Remove what interrupted transfers have left that began before a time, in seconds since the epoch."""

    async def find(self) -> None:
        """Check that the bucket exists: `look` does not tell an object that is missing from that."""

    async def probe(self) -> None:
        """Check that objects can be stored at the moment; raises Full or Unreachable."""

    async def close(self) -> None:
        """Close the connections."""
