"""Hashes that grow while a body arrives, so that the file need not be read again at its end.

`RunningHash` is the hash itself. `RunningSha256` can be saved with the record and continued by any process (sha256.py).
`HashQueue` computes a hash in another thread, block after block, while the next block is written. Called by the engine,
by body_writer.py and by completion.py.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from onward.protocol.checksums import Summing
from onward.protocol.model import Upload
from onward.server.uploads.sha256 import Sha256, begun, resumed
from onward.storage.base import Block

REMEMBERED = 10_000  # states of about 150 bytes


class RunningHash:
    """A hash of the first `offset` bytes."""

    def __init__(self, hash_: Summing, offset: int = 0) -> None:
        self.offset = offset
        self._hash = hash_

    def take(self, block: Block) -> None:
        """Add the next block; takes time, so it is called in a thread."""
        self._hash.update(block)
        self.offset += len(block)

    def digest(self) -> bytes:
        """Return the hash so far."""
        return self._hash.digest()


class RunningSha256(RunningHash):
    """The SHA-256 of the first `offset` bytes."""

    def __init__(self, hash_: Sha256 | None = None, offset: int = 0) -> None:
        self._sha256 = hash_ or begun()
        self._states: dict[int, bytes] | None = None
        super().__init__(self._sha256, offset)

    def remember(self) -> None:
        """Keep the states at the ends of blocks from now on, for a store that makes bytes durable later."""
        self._states = {}

    def take(self, block: Block) -> None:
        """Add the next block; takes time, so it is called in a thread."""
        super().take(block)
        if self._states is not None and (state := self._sha256.state()) is not None:
            self._states[self.offset] = state
            if len(self._states) > REMEMBERED:
                del self._states[next(iter(self._states))]

    @classmethod
    def of(cls, upload: Upload) -> "RunningSha256 | None":
        """Continue the hash that is saved in a record; None if it cannot be continued."""
        if not upload.offset:
            return cls()
        hash_ = resumed(upload.hashing, upload.offset)
        return cls(hash_, upload.offset) if hash_ else None

    def state(self, offset: int) -> bytes | None:
        """Return what is saved in the record at this offset; None if the state there is not known (any more)."""
        if self.offset == offset:
            return self._sha256.state()
        return self._states.get(offset) if self._states else None


class _Once:
    """A call that is made only once, by the first thread that tries."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call, self._free = call, threading.Lock()

    def __call__(self) -> None:
        if self._free.acquire(blocking=False):
            self._call()


class HashQueue:
    """Computes one hash in other threads; only one thread at a time may call `take` and `wait`.

    At most one thread works on a hash, because its blocks have an order. It ends when the queue is empty, and the next
    block starts one again.
    """

    def __init__(self, threads: ThreadPoolExecutor, hash_: RunningHash) -> None:
        self._threads, self._hash = threads, hash_
        self._lock, self._at_work = threading.Lock(), False
        self._blocks: deque[Block] = deque()
        self._hashed: SimpleQueue[BaseException | None] = SimpleQueue()
        self._ahead = 0  # blocks that were taken and that `wait` has not seen hashed yet

    def take(self, block: Block) -> None:
        """Hash a block after the earlier ones; it must not change until then."""
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
        """Hash a block in this thread, after the earlier ones; raises what hashing raises."""
        self.wait()
        self._hash.take(block)

    def wait(self, ahead: int = 0) -> None:
        """Wait until all blocks but the last `ahead` are hashed; raises what hashing raised."""
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
            except BaseException as error:  # whatever it is, `wait` has to get an answer
                fault = error
            self._hashed.put(fault)

    def _next(self) -> Block | None:
        with self._lock:
            self._at_work = bool(self._blocks)
            return self._blocks.popleft() if self._at_work else None
