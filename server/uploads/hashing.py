"""A hash that grows with the bytes it is of."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from onward.protocol.checksums import Summing
from onward.protocol.model import Upload
from onward.server.uploads.sha256 import Sha256, begun, resumed
from onward.storage.base import Block


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
        """Return the hash so far."""
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
        """Return its state at an offset, None where it isn't there."""
        return self._sha256.state() if self.offset == offset else None


class _Once:
    """A call that is made by the first thread that tries, and by no other."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call, self._free = call, threading.Lock()

    def __call__(self) -> None:
        if self._free.acquire(blocking=False):
            self._call()


class HashQueue:
    """The way into one hash; `take` and `wait` belong to one thread at a time."""

    def __init__(self, threads: ThreadPoolExecutor, hash_: RunningHash) -> None:
        self._threads, self._hash = threads, hash_
        self._lock, self._at_work = threading.Lock(), False
        self._blocks: deque[Block] = deque()
        self._hashed: SimpleQueue[BaseException | None] = SimpleQueue()
        self._ahead = 0  # blocks that were taken, and not waited for

    def take(self, block: Block) -> None:
        """Hash a block after those before it; it has to stay as it is until then."""
        self._ahead += 1
        with self._lock:
            self._blocks.append(block)
            if self._at_work:
                return
            self._at_work = True
        work = _Once(self._work)
        try:
            self._threads.submit(work)
        except RuntimeError:  # no thread can be started; the executor may have queued the work all the same
            work()

    def take_now(self, block: Block) -> None:
        """Hash a block here, after those before it."""
        self.wait()
        self._hash.take(block)

    def wait(self, ahead: int = 0) -> None:
        """Wait until all blocks but the last few are hashed; raises what hashing raised."""
        while self._ahead > ahead:
            fault = self._hashed.get()
            self._ahead -= 1
            if fault is not None:
                raise fault

    def _work(self) -> None:
        while (block := self._next()) is not None:
            fault = None
            try:
                self._hash.take(block)
            except BaseException as error:  # whatever it is, nobody may wait for ever
                fault = error
            self._hashed.put(fault)

    def _next(self) -> Block | None:
        with self._lock:
            self._at_work = bool(self._blocks)
            return self._blocks.popleft() if self._at_work else None
