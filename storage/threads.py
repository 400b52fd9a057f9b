"""Threads for calls that block, with as little between a call and its answer as can be: a queue there, the loop back.

An executor makes two futures for each call, and a task and a third one where no cancellation may break it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar, TypeVarTuple, Unpack

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
    """So many threads at most, started at need."""

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._calls: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...], Answer[Any]] | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._busy = 0  # calls without their answer

    def call(self, call: Callable[[Unpack[Words]], Result], *words: *Words) -> Answer[Result]:
        """Call in a thread, to its end."""
        answer = Answer[Result]()
        self._busy += 1
        if len(self._threads) < min(self._busy, self._most):
            self._threads.append(Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True))
            self._threads[-1].start()
        self._calls.put((call, words, answer))
        return answer

    def shutdown(self) -> None:
        """Wait until what was called is done."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            call, words, answer = item
            result, fault = None, None
            try:
                result = call(*words)
            except BaseException as error:  # whatever it is, nobody may wait for ever
                fault = error
            with suppress(RuntimeError):  # the loop is gone: so is everybody who waited
                answer.get_loop().call_soon_threadsafe(self._tell, answer, result, fault)
            del item, call, words, answer, result, fault  # an idle thread keeps no block alive

    def _tell(self, answer: Answer[Any], result: object, fault: BaseException | None) -> None:
        self._busy -= 1
        if fault is None:
            answer.set_result(result)
        else:
            answer.set_exception(fault)
            answer.exception()  # retrieved, even if who waits is cancelled
