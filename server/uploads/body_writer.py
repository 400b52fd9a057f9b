"""What happens to each block of a body: it is written by position in one thread, and hashed in another one meanwhile.

    body.pour --> put or run --> a receiving thread: take(block) --> write(block, position)     the file
                                                        |
                                                        +--> HashQueue --> a hashing thread     SHA-256, checksum

A small block is hashed by the receiving thread itself, since to wake another thread takes longer. At the end of a body
its hash may lag behind (`leave`, kept_hashes.py). The caller is `receive`, by way of the body (receive.py has the whole
picture).
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore
from typing import Protocol, TypeVar

from onward.protocol.decisions import excess
from onward.protocol.model import Licence
from onward.server.uploads.hashing import HashQueue
from onward.storage.base import BlobWriter, Block
from onward.storage.running.threads import Answer, Threads

RECEIVE_THREADS = HASH_THREADS = min(max(os.cpu_count() or 1, 2), 16)  # more would only compete with the event loop
BLOCK = 2**19  # bytes that a body collects before it hands them over, unless it is read from the socket itself
SMALL = 2**16  # bytes; a block up to this size is hashed in less time than it takes to wake another thread
LAGGING = os.cpu_count() or 1  # bodies that may leave blocks behind which are still hashed; each has buffers in use
Result = TypeVar("Result")


class BodyThreads:
    """Two pools, so that a receiving thread may wait for hashing without a deadlock: hashing threads never wait."""

    def __init__(self) -> None:
        self.receiving = Threads(RECEIVE_THREADS, "receive")
        self.hashing = ThreadPoolExecutor(HASH_THREADS, "sha256")
        self.lagging = Semaphore(LAGGING)

    def close(self) -> None:
        """Wait until all calls are done, and end the threads."""
        self.receiving.shutdown()
        self.hashing.shutdown()


class Write(Protocol):
    """A function that stores a block at a position, and blocks meanwhile."""

    def __call__(self, block: Block, at: int) -> None: ...


class BodyWriter:
    """Writes and hashes the bytes that a licence allows, from its start; `position` is how far they are written.

    `writer` is the store's own, which says when it is full; None for a `write` that never has to wait.
    """

    def __init__(
        self,
        threads: BodyThreads,
        write: Write,
        licence: Licence,
        queues: Sequence[HashQueue],
        writer: BlobWriter | None = None,
    ) -> None:
        self.position = licence.start
        self.record: Callable[[int], None] | None = None  # called in the thread that has written a body to its end
        self._threads, self._write, self._licence, self._writer = threads, write, licence, writer
        self._queues = queues
        self._lags = licence.declared and len(queues) == 1 and queues[0].lags

    @property
    def full(self) -> bool:
        """Return whether the next block has to wait for `drained`; may be asked in any thread."""
        return self._writer is not None and self._writer.full

    async def drained(self) -> None:
        """Wait until the next block may be taken; raises what `write` raises."""
        if self._writer is not None:
            await self._writer.drained()

    def take(self, block: Block) -> None:
        """Write the next block; called in a thread, and not while this is `full`.

        The block must not change until it is hashed (see `wait`).
        Raises TooLarge if the block goes beyond the licence, and what `write` and the hashes raise.
        """
        end = self._licence.end
        if len(block) > end - self.position:
            raise excess(end, end if self._licence.declared else None)
        boundary = None if self._writer is None else self._writer.boundary
        if boundary is not None and 0 < (first := boundary - self.position) < len(block):
            view = memoryview(block)
            self._take(view[:first])
            self._take(view[first:])
        else:
            self._take(block)

    def _take(self, block: Block) -> None:
        small = len(block) <= SMALL
        if not small:
            for queue in self._queues:
                queue.take(block)
        self._write(block, self.position)
        if small:
            for queue in self._queues:
                queue.take_small(block)
        self.position += len(block)

    def wait(self, ahead: int = 0) -> None:
        """Wait until all blocks but the last `ahead` are hashed; called in a thread. Raises what the hashes raise."""
        for queue in self._queues:
            queue.wait(ahead)

    def lags(self, more: int = 0) -> bool:
        """Return whether the hash may lag behind, once so many more bytes are written; at the end of the upload not."""
        return self._lags and self.position + more < self._licence.end

    def leave(self, done: Callable[[], None], *, ended: bool) -> None:
        """Call `done` once all blocks are hashed: after a wait for that, or later, if the hash may lag behind.

        Only one of a body that has ended may. Called in a thread; raises what the hashes raise.
        """
        if ended and self.lags() and self._threads.lagging.acquire(blocking=False):

            def hashed() -> None:
                self._threads.lagging.release()
                done()

            self._queues[0].then(hashed)
            return
        try:
            self.wait()
        finally:
            done()

    def end(self) -> None:
        """Note in a thread that all of the body is written."""
        if self.record is not None:
            self.record(self.position)

    def put(self, block: Block) -> Answer[None]:
        """Write and hash the next block in a thread; to await the answer raises what `take` raises."""

        def whole() -> None:
            try:
                self.take(block)
            finally:
                self.wait()

        return self.run(whole)

    def run(self, call: Callable[[], Result]) -> Answer[Result]:
        """Call a function that takes blocks (or reads them from a socket and then takes them) in a receiving thread."""
        return self._threads.receiving.call(call)
