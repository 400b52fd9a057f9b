"""Calls in threads: each to its end, whoever stops waiting for it."""

import asyncio
import threading
import time
import weakref

import pytest

from storage.threads import Threads


async def test_answers_and_faults_reach_who_waits() -> None:
    threads = Threads(2, "test")
    assert await threads.call(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await threads.call(divmod, 7, 0)
    threads.shutdown()


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


async def test_an_idle_thread_keeps_nothing_alive() -> None:
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


async def test_shutting_down_waits_for_what_was_called() -> None:
    threads, ended = Threads(1, "test"), list[int]()
    answers = [threads.call(ended.append, number) for number in range(10)]
    threads.shutdown()
    assert ended == list(range(10))
    await asyncio.gather(*answers)


async def test_one_thread_does_what_comes_as_long_as_it_keeps_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.threads.KEEPING_UP", 60.0)
    threads = Threads(8, "test")
    names = await asyncio.gather(*(threads.call(lambda: threading.current_thread().name) for _ in range(200)))
    assert set(names) == {"test-0"}
    threads.shutdown()


async def test_an_answer_waits_for_no_call_after_it_that_takes_long() -> None:
    threads, began, go_on = Threads(1, "test"), threading.Event(), threading.Event()
    quick = threads.call(began.wait, 10)
    slow = threads.call(go_on.wait, 10)
    began.set()
    assert await asyncio.wait_for(quick, 5)
    assert not slow.done()
    go_on.set()
    assert await slow
    threads.shutdown()


async def test_answers_are_told_while_calls_keep_coming() -> None:
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
    monkeypatch.setattr("storage.threads.KEEPING_UP", 60.0)
    assert sorted(await asyncio.gather(*(threads.call(together.wait, 10) for _ in range(4)))) == [0, 1, 2, 3]
    threads.shutdown()
