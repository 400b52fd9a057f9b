"""Where the blocks of a body go: written by position in one thread, hashed beside it in others."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from protocol.errors import TooLarge
from protocol.model import Licence
from server.running_hash import RunningHash
from storage.base import Block
from storage.unbroken import unbroken

RECEIVE_THREADS = HASH_THREADS = min(2 * (os.cpu_count() or 1), 16)  # more only keep the event loop from its turn
SMALL = 2**16  # bytes that are hashed sooner than another thread wakes up
Result = TypeVar("Result")


class Threads:
    """The threads that bodies are received with; who hashes waits for nobody, so who receives may wait for that."""

    def __init__(self) -> None:
        self.receiving = ThreadPoolExecutor(RECEIVE_THREADS, "receive")
        self.hashing = ThreadPoolExecutor(HASH_THREADS, "sha256")

    def close(self) -> None:
        """Let them end."""
        self.receiving.shutdown()
        self.hashing.shutdown()


class Write(Protocol):
    """What stores a block at a position, and takes its time."""

    def __call__(self, block: Block, at: int) -> None: ...


class Inlet:
    """Takes the bytes that a licence is for, from its start; `position` tells how far they are stored."""

    def __init__(self, threads: Threads, write: Write, licence: Licence, hashes: Sequence[RunningHash]) -> None:
        self.position = licence.start
        self._threads, self._write, self._end, self._hashes = threads, write, licence.end, hashes
        self._hashing: list[Future[None]] = []

    def take(self, block: Block) -> None:
        """Store the next block, in a thread; the one before is hashed to its end then.

        Raises TooLarge for a byte beyond the licence, and what storing raises.
        """
        if len(block) > self._end - self.position:
            raise TooLarge("The body is longer than what is left to send.")
        self.finish()
        if len(block) > SMALL:
            self._hashing = [self._threads.hashing.submit(each.take, block) for each in self._hashes]
        self._write(block, self.position)
        if len(block) <= SMALL:
            for each in self._hashes:
                each.take(block)
        self.position += len(block)

    def finish(self) -> None:
        """Wait, in a thread, until the last block is hashed as well."""
        hashing, self._hashing = self._hashing, []
        for each in hashing:
            each.result()

    async def put(self, block: Block) -> None:
        """Store and hash the next block."""

        def whole() -> None:
            try:
                self.take(block)
            finally:
                self.finish()

        await self.run(whole)

    async def run(self, call: Callable[[], Result]) -> Result:
        """Call what takes blocks in a thread, to its end."""
        return await unbroken(asyncio.get_running_loop().run_in_executor(self._threads.receiving, call))
