"""Threads for calls that block, with as little between a call and its answer as can be.

An executor makes two futures for each call, and a task and a third one where no cancellation may break it. It wakes a
thread for each call and the event loop for each answer, and all of them want the interpreter: that takes longer than a
short call does. So one thread does what comes as long as it keeps up with short calls, and tells its answers together.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import Any, Generic, TypeVar, TypeVarTuple, Unpack

from onward.storage.base import Unreachable

KEEPING_UP = 0.001  # seconds that a call waits for a thread that is awake, and an answer for calls after its own
SHORT = 0.00015  # seconds that short calls take; others, which wait for a disk, have a thread each at once
Words = TypeVarTuple("Words")
Result = TypeVar("Result")


class Answer(asyncio.Future[Result], Generic[Result]):
    """The answer to a call; whoever is cancelled while he waits for it goes on once it is there.

    The thread would write to a descriptor that was closed, and is somebody else's by now.
    """

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002
        """Refuse: the thread is at work."""
        return False


class Threads:
    """So many threads at most, started at need, of one event loop."""

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._threads: list[Thread] = []
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._lock = Lock()  # a thread falls asleep, or a call sees that it is awake
        self._awake = self._taken = 0
        self._usual = 0.0  # seconds that calls take lately
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...], Answer[Any]]] = deque()
        self._done: deque[tuple[Answer[Any], Any, BaseException | None]] = deque()
        self._look: asyncio.TimerHandle | None = None

    def call(self, call: Callable[[Unpack[Words]], Result], *words: *Words) -> Answer[Result]:
        """Call in a thread, to its end; raises Unreachable where not even one thread can be started."""
        answer = Answer[Result]()
        with self._lock:
            self._calls.append((call, words, answer))
            wake = not self._awake or (self._usual > SHORT and self._awake < self._most)
        if wake:
            self._wake_one()
        elif self._look is None:
            self._look_later(answer.get_loop())
        return answer

    def ready(self) -> None:
        """Start the first thread if there is none; raises Unreachable where it can't be."""
        if not self._threads:
            self._wake_one()

    def shutdown(self) -> None:
        """Wait until what was called is done."""
        for _ in self._threads:
            self._wake.put(False)
        for thread in self._threads:
            thread.join()

    def _wake_one(self) -> None:
        if self._awake == len(self._threads):
            thread = Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system has no more: those that are there do it, or nobody ever does
                if self._threads:
                    return
                self._calls.clear()
                raise Unreachable(f"no thread can be started: {error}") from error
            self._threads.append(thread)
        with self._lock:
            self._awake += 1
        self._wake.put(True)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look = loop.call_later(KEEPING_UP, self._look_after, loop, self._taken + len(self._calls))

    def _look_after(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        """Tell what is done, and wake one more thread if some of the first so many calls still wait."""
        self._look = None
        self._tell()
        if self._taken < count and self._awake < self._most:
            self._wake_one()
        if self._calls:
            self._look_later(loop)

    def _work(self) -> None:
        while self._wake.get():
            while (item := self._next()) is not None:
                call, words, answer = item
                result, fault, began = None, None, monotonic()
                try:
                    result = call(*words)
                except BaseException as error:  # nobody may wait for ever, and no future takes a StopIteration
                    fault = RuntimeError(repr(error)) if isinstance(error, StopIteration) else error
                self._note(monotonic() - began)
                loop = answer.get_loop()
                self._done.append((answer, result, fault))
                del item, call, words, answer, result, fault  # an idle thread keeps no block alive
                if self._look is None or not self._calls or self._usual > SHORT:  # otherwise the look will tell it
                    with suppress(RuntimeError):  # the loop is gone: so is everybody who waited
                        loop.call_soon_threadsafe(self._tell)
                del loop

    def _note(self, seconds: float) -> None:
        """Follow a shorter call sooner than a longer one, which may have waited for the interpreter and no disk."""
        usual = self._usual
        self._usual = usual + (seconds - usual) / (16 if seconds > usual else 4)

    def _next(self) -> tuple[Callable[..., Any], tuple[Any, ...], Answer[Any]] | None:
        with self._lock:
            if not self._calls:
                self._awake -= 1
                return None
            self._taken += 1
            return self._calls.popleft()

    def _tell(self) -> None:
        while self._done:
            answer, result, fault = self._done.popleft()
            if fault is None:
                answer.set_result(result)
            else:
                answer.set_exception(fault)
                answer.exception()  # retrieved, even if who waits is cancelled
