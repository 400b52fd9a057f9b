"""A hash that grows with the bytes it is of."""

from protocol.checksums import Summing
from protocol.model import Upload
from server.sha256 import Sha256, begun, resumed
from storage.base import Block


class RunningHash:
    """A hash of the first `offset` bytes."""

    def __init__(self, hash_: Summing, offset: int = 0) -> None:
        self.offset = offset
        self._hash = hash_

    def take(self, block: Block) -> None:
        """Add the next block; takes time, so it belongs in a thread."""
        self._hash.update(block)
        self.offset += len(block)

    def digest(self) -> bytes:
        """Give the hash so far."""
        return self._hash.digest()


class RunningSha256(RunningHash):
    """The SHA-256 of the first `offset` bytes."""

    def __init__(self, hash_: Sha256 | None = None, offset: int = 0) -> None:
        self._sha256 = hash_ or begun()
        super().__init__(self._sha256, offset)

    @classmethod
    def of(cls, upload: Upload) -> "RunningSha256 | None":
        """Go on with that of an upload, None where nobody has it."""
        if not upload.offset:
            return cls()
        hash_ = resumed(upload.hashing, upload.offset)
        return cls(hash_, upload.offset) if hash_ else None

    def state(self, offset: int) -> bytes | None:
        """Give its state at an offset, None where it isn't there."""
        return self._sha256.state() if self.offset == offset else None
