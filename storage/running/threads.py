"""Worker threads for calls that block, with as little overhead as possible between a call and its answer.

Why not `run_in_executor`? It creates two futures for each call, and `shield` would add a third one and a task. It wakes
a thread for each call and the event loop for each answer. All of these compete for the interpreter lock, which takes
longer than a short call (a write into the page cache takes some 50 µs).

Here one thread does all the work as long as it keeps up:

    event loop                                       threads
    ----------                                       -------
    call() ---> _calls (a queue) ------------------> first thread: awake while there are calls
      |                                                |
      |  none awake, or calls are slow: _wake_one ---> one more thread
      |  otherwise: look again after 1 ms              |
      v                                                v
    _look_after: calls still waiting? wake one       _done (a queue)
      |                                                |
      +--> _deliver: set the result of each Answer <---+-- call_soon_threadsafe, unless the next look will deliver it

- While calls are short (`_usual` below SHORT), they queue up behind the thread that is awake. A timer looks after 1 ms
  whether it keeps up, and wakes another thread if not. The same look delivers all the answers that are ready, so that
  the event loop is not woken for each of them.
- While calls are long (they wait for a disk), every call gets a thread of its own at once, up to the limit, and every
  answer is delivered at once.
- `_lock` guards one race: a thread that finds no more calls falls asleep, just as a new call sees that it is awake.

A cancelled task waits for its `Answer` (see there), so that no thread is still working once the task has ended.
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

KEEPING_UP = 0.001  # seconds until it is checked whether the threads keep up, and until answers are delivered together
SHORT = 0.00015  # seconds; calls that usually take longer are waiting for a disk, so each gets a thread at once
Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class Answer(asyncio.Future[Result], Generic[Result]):
    """The answer to a call. A task that is cancelled while it awaits an answer goes on once the answer is there.

    Otherwise the task could close a file while the thread is still writing to it. The number of the descriptor may be
    in use for another file by then.
    """

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002
        """Refuse, because the thread is still working; the task's own cancellation stays pending until it is done."""
        return False


class Threads:
    """A pool of at most `limit` threads, started when they are needed. It belongs to one event loop."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit, self._name = limit, name
        self._threads: list[Thread] = []
        self._wake: SimpleQueue[bool] = SimpleQueue()  # True wakes one thread, False ends it
        self._lock = Lock()  # no thread falls asleep while a new call counts it as awake
        self._awake = self._taken = 0  # threads that are awake; calls that threads have taken so far
        self._usual = 0.0  # seconds that calls usually take, as a moving average
        self._calls: deque[tuple[Callable[..., Any], tuple[Any, ...], Answer[Any]]] = deque()
        self._done: deque[tuple[Answer[Any], Any, BaseException | None]] = deque()
        self._look: asyncio.TimerHandle | None = None  # the next check whether the threads keep up

    def call(self, call: Callable[[Unpack[Arguments]], Result], *arguments: *Arguments) -> Answer[Result]:
        """Call a function in a thread; raises Unreachable if not even one thread can be started.

        To await the answer raises what the function raises.
        """
        answer: Answer[Result] = Answer()
        with self._lock:
            self._calls.append((call, arguments, answer))
            wake = not self._awake or (self._usual > SHORT and self._awake < self._limit)
        if wake:
            self._wake_one()
        elif self._look is None:
            self._look_later(answer.get_loop())
        return answer

    def ready(self) -> None:
        """Start the first thread if there is none; raises Unreachable if that fails."""
        if not self._threads:
            self._wake_one()

    def shutdown(self) -> None:
        """Wait until all calls are done, and end the threads."""
        for _ in self._threads:
            self._wake.put(False)
        for thread in self._threads:
            thread.join()

    def _wake_one(self) -> None:
        if self._awake == len(self._threads):
            thread = Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system has no more threads; the ones that run have to do
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
        """Deliver the answers that are ready; wake one more thread if some of the first `count` calls still wait."""
        self._look = None
        self._deliver()
        if self._taken < count and self._awake < self._limit:
            self._wake_one()
        if self._calls:
            self._look_later(loop)

    def _work(self) -> None:
        while self._wake.get():
            while (item := self._next()) is not None:
                call, arguments, answer = item
                result, fault, began = None, None, monotonic()
                try:
                    result = call(*arguments)
                except BaseException as error:  # every answer has to come, and a future refuses a StopIteration
                    fault = RuntimeError(repr(error)) if isinstance(error, StopIteration) else error
                self._note(monotonic() - began)
                loop = answer.get_loop()
                self._done.append((answer, result, fault))
                del item, call, arguments, answer, result, fault  # an idle thread must not keep a block in memory
                if self._look is None or not self._calls or self._usual > SHORT:  # otherwise the look delivers it
                    with suppress(RuntimeError):  # the loop is closed, and with it all that waited
                        loop.call_soon_threadsafe(self._deliver)
                del loop

    def _note(self, seconds: float) -> None:
        """Update the usual duration: quickly for a shorter call, slowly for a longer one.

        A single long call may only have waited for the interpreter lock, and not for a disk.
        """
        usual = self._usual
        self._usual = usual + (seconds - usual) / (16 if seconds > usual else 4)

    def _next(self) -> tuple[Callable[..., Any], tuple[Any, ...], Answer[Any]] | None:
        with self._lock:
            if not self._calls:
                self._awake -= 1
                return None
            self._taken += 1
            return self._calls.popleft()

    def _deliver(self) -> None:
        while self._done:
            answer, result, fault = self._done.popleft()
            if fault is None:
                answer.set_result(result)
            else:
                answer.set_exception(fault)
                answer.exception()  # marks it as retrieved, for the case that the waiting task was cancelled
