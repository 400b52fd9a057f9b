"""Calls in threads: each runs to its end, also if the task that waits for it is cancelled."""

import asyncio
import gc
import threading
import time
import weakref

import pytest

from onward.storage.base import Unreachable
from onward.storage.running.threads import SHORT, Answer, Threads


class NoMore(threading.Thread):
    """A thread of a system that has no more of them."""

    def start(self) -> None:
        """Refuse, in Python's words."""
        raise RuntimeError("can't start new thread")


async def ends_before(quick: Answer[bool], slow: Answer[bool], go_on: threading.Event) -> None:
    """Check that the answer to a call comes while one after it, which waits for an event, is under way."""
    assert await asyncio.wait_for(quick, 5)
    assert not slow.done()
    go_on.set()
    assert await slow


async def test_answers_and_errors_reach_the_caller() -> None:
    threads = Threads(2, "test")
    assert await threads.call(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await threads.call(divmod, 7, 0)
    threads.shutdown()


async def test_an_error_that_no_future_takes_reaches_the_caller_too() -> None:
    threads = Threads(1, "test")
    answers = threads.call(next, iter(())), threads.call(pow, 2, 3)
    _, waiting = await asyncio.wait(answers, timeout=10)
    assert not waiting
    assert answers[1].result() == 8
    with pytest.raises(RuntimeError, match="StopIteration"):
        answers[0].result()
    threads.shutdown()


async def test_if_no_more_threads_can_be_started_the_others_do_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, go_on = Threads(4, "test"), threading.Event()
    slow = threads.call(go_on.wait, 10)
    with monkeypatch.context() as patched:
        patched.setattr("onward.storage.running.threads.Thread", NoMore)
        waiting = [threads.call(pow, number, 2) for number in range(4)]
        await asyncio.sleep(0.05)
        go_on.set()
        assert await asyncio.gather(*waiting) == [0, 1, 4, 9]
    assert await slow
    threads.shutdown()


async def test_a_call_for_which_no_thread_can_be_started_is_refused_and_never_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads, done = Threads(4, "test"), list[int]()
    with monkeypatch.context() as patched:
        patched.setattr("onward.storage.running.threads.Thread", NoMore)
        with pytest.raises(Unreachable):
            await threads.call(done.append, 1)
    await asyncio.wait_for(threads.call(done.append, 2), 10)
    threads.shutdown()
    assert done == [2]


async def test_more_calls_than_threads_are_all_answered() -> None:
    threads = Threads(2, "test")
    assert await asyncio.gather(*(threads.call(pow, number, 2) for number in range(50))) == [
        number**2 for number in range(50)
    ]
    threads.shutdown()


async def test_a_call_that_takes_long_keeps_no_other_waiting() -> None:
    threads, go_on = Threads(2, "test"), threading.Event()
    slow = threads.call(go_on.wait, 10)
    assert await threads.call(pow, 2, 3) == 8
    go_on.set()
    assert await slow
    threads.shutdown()


async def test_a_cancellation_goes_on_once_the_call_has_ended() -> None:
    threads, began, go_on = Threads(1, "test"), threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        assert go_on.wait(10)
        raise OSError("nobody hears of it")

    async def wait() -> None:
        await threads.call(slow)

    task = asyncio.create_task(wait())
    await asyncio.to_thread(began.wait, 10)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=0.1)
    assert not done
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    threads.shutdown()


async def test_an_idle_thread_keeps_no_object_alive() -> None:
    class Block:
        pass

    threads, block = Threads(1, "test"), Block()
    seen = weakref.ref(block)
    await threads.call(id, block)
    del block
    async with asyncio.timeout(10):
        while seen() is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    threads.shutdown()


def test_an_idle_thread_keeps_no_event_loop_alive() -> None:
    threads, loop = Threads(1, "test"), asyncio.new_event_loop()

    async def one() -> None:
        await threads.call(pow, 2, 3)

    loop.run_until_complete(one())
    loop.close()
    seen = weakref.ref(loop)
    del loop
    until = time.monotonic() + 10
    while seen() is not None and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    assert seen() is None
    threads.shutdown()


async def test_shutdown_waits_for_all_calls() -> None:
    threads, ended = Threads(1, "test"), list[int]()
    answers = [threads.call(ended.append, number) for number in range(10)]
    threads.shutdown()
    assert ended == list(range(10))
    await asyncio.gather(*answers)


async def test_one_thread_does_all_calls_as_long_as_it_keeps_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onward.storage.running.threads.KEEPING_UP", 60.0)
    monkeypatch.setattr("onward.storage.running.threads.SHORT", 60.0)  # whatever keeps the processor from this test
    threads = Threads(8, "test")
    names = await asyncio.gather(*(threads.call(lambda: threading.current_thread().name) for _ in range(200)))
    assert set(names) == {"test-0"}
    threads.shutdown()


async def test_an_answer_does_not_wait_for_a_later_long_call() -> None:
    threads, began, go_on = Threads(1, "test"), threading.Event(), threading.Event()
    quick = threads.call(began.wait, 10)
    slow = threads.call(go_on.wait, 10)
    began.set()
    await ends_before(quick, slow, go_on)
    threads.shutdown()


async def test_an_answer_does_not_wait_for_a_later_call_made_while_calls_were_long() -> None:
    threads, go_on = Threads(2, "test"), threading.Event()
    for _ in range(100):
        threads._usual = SHORT * 1.1
        quick, slow = threads.call(sum, range(300)), threads.call(go_on.wait, 10)
        assert await asyncio.wait_for(quick, 5) == 44850
        go_on.set()
        assert await slow
        go_on.clear()
    threads.shutdown()


async def test_an_answer_that_comes_during_a_look_does_not_wait_for_a_later_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads, began, go_on = Threads(2, "test"), threading.Event(), threading.Event()

    def wake_one_slowly() -> None:
        began.set()
        time.sleep(0.1)

    await threads.call(pow, 2, 3)
    while threads._awake:  # otherwise each of the two calls may get a thread of its own  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    wake_one = threads._wake_one
    monkeypatch.setattr("onward.storage.running.threads.SHORT", 60.0)
    monkeypatch.setattr(threads, "_wake_one", wake_one_slowly)
    wake_one()
    quick, slow = threads.call(began.wait, 10), threads.call(go_on.wait, 10)
    await ends_before(quick, slow, go_on)
    threads.shutdown()


async def test_answers_are_delivered_while_calls_keep_coming() -> None:
    threads, go_on = Threads(1, "test"), threading.Event()
    first, rest = threads.call(go_on.wait, 10), [threads.call(time.sleep, 0.002) for _ in range(500)]
    await asyncio.sleep(0.05)
    go_on.set()
    await first
    assert not rest[-1].done()
    await asyncio.gather(*rest)
    threads.shutdown()


async def test_calls_that_take_long_have_a_thread_each_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    threads, together = Threads(4, "test"), threading.Barrier(4)
    for _ in range(20):
        await threads.call(time.sleep, 0.005)
    monkeypatch.setattr("onward.storage.running.threads.KEEPING_UP", 60.0)
    assert sorted(await asyncio.gather(*(threads.call(together.wait, 10) for _ in range(4)))) == [0, 1, 2, 3]
    threads.shutdown()
