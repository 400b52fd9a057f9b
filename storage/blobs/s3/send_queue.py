"""The bytes of a body that wait to be sent: a queue, in buffers that are used again (memory.py)."""

from collections import deque
from threading import Lock

from onward.storage.base import Block
from onward.storage.blobs.s3.memory import BUFFER, Memory


class _Chunk:
    """A buffer with the bytes [start, end) that wait."""

    __slots__ = ("buffer", "end", "start")

    def __init__(self, buffer: bytearray) -> None:
        self.buffer = buffer
        self.start = self.end = 0


class SendQueue:
    """A queue of bytes: one thread adds to it, and the event loop takes from it."""

    def __init__(self, memory: Memory) -> None:
        self.size = 0
        self._memory, self._lock = memory, Lock()
        self._chunks: deque[_Chunk] = deque()
        self._spent: list[bytearray] = []

    def add(self, block: Block) -> None:
        """Copy a block to the end of the queue."""
        view, at = memoryview(block), 0
        with self._lock:
            while at < len(view):
                if not self._chunks or self._chunks[-1].end == BUFFER:
                    self._chunks.append(_Chunk(self._memory.borrow()))
                chunk = self._chunks[-1]
                count = min(len(view) - at, BUFFER - chunk.end)
                chunk.buffer[chunk.end : chunk.end + count] = view[at : at + count]
                chunk.end += count
                at += count
            self.size += len(view)

    def take(self, count: int) -> list[memoryview]:
        """Take the first bytes out of the queue; they stay as they are until `release`."""
        taken: list[memoryview] = []
        with self._lock:
            self.size -= count
            while count:
                chunk = self._chunks[0]
                some = min(count, chunk.end - chunk.start)
                taken.append(memoryview(chunk.buffer)[chunk.start : chunk.start + some])
                chunk.start += some
                count -= some
                if chunk.start == BUFFER:
                    self._spent.append(self._chunks.popleft().buffer)
        return taken

    def release(self, *, reused: bool) -> None:
        """Give up what was taken. If it may still be on its way, its buffers must not be `reused`."""
        if reused:
            self._memory.put_back(self._spent)
        self._spent = []
