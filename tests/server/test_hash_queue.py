"""Blocks reach a hash in their order, beside whoever receives them."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from onward.server.uploads.hashing import HashQueue, RunningHash
from onward.storage.base import Block


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


class Alone(RunningHash):
    """A hash that no two threads may be in at once."""

    lock = threading.Lock()

    def take(self, block: Block) -> None:
        assert self.lock.acquire(blocking=False)
        time.sleep(1e-4)
        super().take(block)
        self.lock.release()


class Slow(RunningHash):
    """A hash that takes a block once it is let go on."""

    def __init__(self) -> None:
        super().__init__(hashlib.sha256())
        self.go_on = threading.Semaphore(0)

    def take(self, block: Block) -> None:
        assert self.go_on.acquire(timeout=10)
        super().take(block)


def test_many_blocks_are_hashed_in_their_order(pool: ThreadPoolExecutor) -> None:
    blocks = [os.urandom(1 + number % 500) for number in range(500)]
    running = Alone(hashlib.sha256())
    queue = HashQueue(pool, running)
    for number, block in enumerate(blocks):
        queue.take_small(block) if number % 7 == 0 else queue.take(block)
        if number % 5 == 0:
            queue.wait(number % 3)
    queue.wait()
    assert running.digest() == hashlib.sha256(b"".join(blocks)).digest()


def test_a_wait_is_over_once_only_the_last_blocks_are_missing(pool: ThreadPoolExecutor) -> None:
    slow = Slow()
    queue = HashQueue(pool, slow)
    for _ in range(4):
        queue.take(b"block")
    slow.go_on.release()
    queue.wait(3)
    assert slow.offset == 5
    slow.go_on.release(3)
    queue.wait()
    assert slow.offset == 20


def test_what_hashing_raises_is_raised_and_no_block_behind_is_hashed(pool: ThreadPoolExecutor) -> None:
    class Broken(RunningHash):
        def take(self, block: Block) -> None:
            super().take(block)
            if block == b"broken":
                raise MemoryError

    queue = HashQueue(pool, Broken(hashlib.sha256()))
    for block in (b"whole", b"broken", b"whole"):
        queue.take(block)
    with pytest.raises(MemoryError):
        queue.wait()
    queue.wait()
    assert (queue._hash.offset, queue.broken) == (11, True)


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A system that has no more threads."""

    def refuse(*words: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "_start_new_thread", refuse)
    return monkeypatch


def test_if_no_thread_can_be_started_a_block_is_hashed_by_the_receiving_one(no_threads: pytest.MonkeyPatch) -> None:
    running = Alone(hashlib.sha256())
    queue = HashQueue(ThreadPoolExecutor(2), running)
    for _ in range(3):
        queue.take(b"block")
        queue.wait(1)
    assert running.offset == 15, "somebody waits for a thread that there is not"
    queue.wait()
    assert running.digest() == hashlib.sha256(b"block" * 3).digest()


def test_what_the_pool_kept_of_it_is_not_hashed_again_once_there_are_threads(no_threads: pytest.MonkeyPatch) -> None:
    blocks, running = [os.urandom(100) for _ in range(50)], Alone(hashlib.sha256())
    with ThreadPoolExecutor(2) as pool:
        queue = HashQueue(pool, running)
        for number, block in enumerate(blocks):
            if number == 10:
                no_threads.undo()
            queue.take(block)
        queue.wait()
    assert running.digest() == hashlib.sha256(b"".join(blocks)).digest()
