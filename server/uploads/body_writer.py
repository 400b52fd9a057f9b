"""Where the blocks of a body go: written by position in one thread, hashed beside it in others."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from onward.protocol.errors import TooLarge
from onward.protocol.model import Licence
from onward.server.uploads.hashing import HashQueue, RunningHash
from onward.storage.base import Block
from onward.storage.running.threads import Answer, Threads

RECEIVE_THREADS = HASH_THREADS = min(2 * (os.cpu_count() or 1), 16)  # more only keep the event loop from its turn
SMALL = 2**16  # bytes that are hashed sooner than another thread wakes up
Result = TypeVar("Result")


class BodyThreads:
    """The threads that bodies are received with; who hashes waits for nobody, so who receives may wait for that."""

    def __init__(self) -> None:
        self.receiving = Threads(RECEIVE_THREADS, "receive")
        self.hashing = ThreadPoolExecutor(HASH_THREADS, "sha256")

    def close(self) -> None:
        """Let them end."""
        self.receiving.shutdown()
        self.hashing.shutdown()


class Write(Protocol):
    """What stores a block at a position, and takes its time."""

    def __call__(self, block: Block, at: int) -> None: ...


class BodyWriter:
    """Takes the bytes that a licence is for, from its start; `position` tells how far they are stored."""

    def __init__(self, threads: BodyThreads, write: Write, licence: Licence, hashes: Sequence[RunningHash]) -> None:
        self.position = licence.start
        self._threads, self._write, self._end = threads, write, licence.end
        self._queues = [HashQueue(threads.hashing, each) for each in hashes]

    def take(self, block: Block) -> None:
        """Store the next block, in a thread; it has to stay as it is until it is hashed.

        Raises TooLarge for a byte beyond the licence, and what storing raises.
        """
        if len(block) > self._end - self.position:
            raise TooLarge("The body is longer than what is left to send.")
        small = len(block) <= SMALL
        if not small:
            for queue in self._queues:
                queue.take(block)
        self._write(block, self.position)
        if small:
            for queue in self._queues:
                queue.take_now(block)
        self.position += len(block)

    def wait(self, ahead: int = 0) -> None:
        """Wait, in a thread, until all blocks but the last few are hashed as well."""
        for queue in self._queues:
            queue.wait(ahead)

    def put(self, block: Block) -> Answer[None]:
        """Store and hash the next block."""

        def whole() -> None:
            try:
                self.take(block)
            finally:
                self.wait()

        return self.run(whole)

    def run(self, call: Callable[[], Result]) -> Answer[Result]:
        """Call what takes blocks in a thread, to its end."""
        return self._threads.receiving.call(call)
