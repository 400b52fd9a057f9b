"""Hashes that grow while a body arrives, so that the file need not be read again at its end.

`RunningHash` is the hash itself. `RunningSha256` can be saved with the record and continued by any process (sha256.py).
`HashQueue` computes a hash in another thread, block after block, while the next block is written. Called by the engine,
by body_writer.py, kept_hashes.py and completion.py.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from onward.protocol.checksums import Summing
from onward.protocol.model import Upload
from onward.server.uploads.sha256 import Sha256, begun, reached, resumed
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
        self._behind, self._latest = 0, (offset, self._sha256.state())
        super().__init__(self._sha256, offset)

    def remember(self) -> None:
        """Keep the states at the ends of blocks from now on, for a store that makes bytes durable later."""
        self._states = {}

    def lag(self, behind: int) -> None:
        """Let `state` return one that is up to so many bytes behind the offset it is asked for."""
        self._behind = behind

    def take(self, block: Block) -> None:
        """Add the next block; takes time, so it is called in a thread."""
        super().take(block)
        if self._behind:
            self._latest = self.offset, self._sha256.state()
        if self._states is not None and (state := self._sha256.state()) is not None:
            self._states[self.offset] = state
            if len(self._states) > REMEMBERED:
                del self._states[next(iter(self._states))]

    @classmethod
    def of(cls, upload: Upload, behind: int = 0) -> "RunningSha256 | None":
        """Continue the hash that is saved in a record; None if it cannot be continued.

        It may be up to `behind` bytes behind the offset of the upload; the bytes between have to be added first then.
        """
        if not upload.offset:
            return cls()
        count = reached(upload.hashing)
        if count is None or not upload.offset - behind <= count <= upload.offset:
            return None
        hash_ = resumed(upload.hashing, count)
        return cls(hash_, count) if hash_ else None

    def state(self, offset: int) -> bytes | None:
        """Return what is saved in the record at this offset; None if no state is known that may be saved there.

        May be called while another thread adds a block.
        """
        if self.offset == offset:
            return self._sha256.state()
        if self._states:
            return self._states.get(offset)
        count, state = self._latest
        return state if offset - self._behind <= count <= offset else None


class _Once:
    """A call that is made only once, by the first thread that tries."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call, self._free = call, threading.Lock()

    def __call__(self) -> None:
        if self._free.acquire(blocking=False):
            self._call()


class HashQueue:
    """Computes one hash in other threads; only one thread at a time may call its methods.

    At most one thread works on a hash, because its blocks have an order. It ends when the queue is empty, and the next
    block starts one again. After a fault no block is hashed any more, since one would be missing in between.

    `lags` says that a body may end, and be recorded, before all its blocks are hashed (kept_hashes.py).
    """

    def __init__(self, threads: ThreadPoolExecutor, hash_: RunningHash, *, lags: bool = False) -> None:
        self.lags, self.end = lags, hash_.offset  # `end`: the position behind the last block that was taken
        self.broken = False
        self._threads, self._hash = threads, hash_
        self._lock, self._at_work = threading.Lock(), False
        self._blocks: deque[Block | Callable[[], None]] = deque()
        self._hashed: SimpleQueue[BaseException | None] = SimpleQueue()
        self._ahead = 0  # blocks that were taken and that `wait` has not seen hashed yet

    def take(self, block: Block) -> None:
        """Hash a block after the earlier ones; it must not change until then."""
        self._ahead += 1
        self.end += len(block)
        if self._put(block):
            return
        work = _Once(self._work)
        try:
            self._threads.submit(work)
        except RuntimeError:  # no thread can be started; the executor may have queued the work all the same
            work()

    def take_small(self, block: Block) -> None:
        """Hash a block in this thread if no other one works on this hash, otherwise after the earlier ones."""
        self._ahead += 1
        self.end += len(block)
        if not self._put(block):
            self._work()

    def _put(self, block: Block | Callable[[], None]) -> bool:
        """Put a block into the queue, and return whether a thread is at work that will hash it."""
        with self._lock:
            self._blocks.append(block)
            at_work, self._at_work = self._at_work, True
            return at_work

    def then(self, call: Callable[[], None]) -> None:
        """Call a function once the blocks that were taken are hashed, at once or in another thread."""
        if not self._put(call):
            self._work()

    def wait(self, ahead: int = 0) -> None:
        """Wait until all blocks but the last `ahead` are hashed; raises what hashing raised."""
        while self._ahead > ahead:
            fault = self._hashed.get()
            self._ahead -= 1
            if fault is not None:
                raise fault

    def _work(self) -> None:
        while (block := self._next()) is not None:
            if callable(block):
                block()
                continue
            fault = None
            try:
                if not self.broken:
                    self._hash.take(block)
            except BaseException as error:  # whatever it is, `wait` has to get an answer
                fault, self.broken = error, True
            self._hashed.put(fault)

    def _next(self) -> Block | Callable[[], None] | None:
        with self._lock:
            self._at_work = bool(self._blocks)
            return self._blocks.popleft() if self._at_work else None
