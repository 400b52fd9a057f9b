"""The transactions of the SQLite state: jobs on its one connection, which is used by one thread at a time.

Most jobs are done by a thread of its own. While that thread commits, further jobs queue up; then all of them are done
in one transaction, with one sync. Each caller gets its answer after the commit.

    do, do_alone --> _jobs --> the thread: BEGIN, all jobs of the batch, COMMIT --> answers, on the event loop
    do_here      --> BEGIN, one job, COMMIT in the thread that calls, if the connection is free

A job that is refused (Stale, Missing, Crowded) has changed nothing, so it does not disturb the others of its batch.
Called by sqlite.py.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, NamedTuple, Protocol

from onward.storage.base import Durability, StorageError, Unreachable
from onward.storage.state.sqlite_file import fault_of

BATCH = 256  # jobs of one transaction at most
LAZY = 0.01  # seconds that a lazy job waits at most

Work = Callable[[sqlite3.Connection], Any]


class Sums(Protocol):
    """What is counted beside the records; each method is called in the thread that has the connection."""

    def begin(self) -> None:
        """Note that a transaction begins."""

    def commit(self) -> None:
        """Note that it is committed."""

    def undo(self) -> None:
        """Note that it has failed."""


class _Job(NamedTuple):
    work: Work
    future: asyncio.Future[Any]
    durable: bool | None  # None if it only reads
    alone: bool = False  # outside of a transaction


class Transactions:
    """Does jobs on a connection, which it closes at the end; the constructor raises Unreachable."""

    def __init__(self, connection: sqlite3.Connection, durability: Durability, sums: Sums) -> None:
        self._connection, self._durability, self._sums = connection, durability, sums
        self._synchronous = ""
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._ended = self._loop.create_future()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lazy: list[_Job] = []
        self._used = Lock()  # held by the thread that uses the connection
        self._thread = Thread(target=self._run, name="sqlite", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            connection.close()
            raise Unreachable(f"no thread can be started: {error}") from error

    async def do(self, work: Work, *, durable: bool | None = False, lazy: bool = False) -> Any:
        """Do a job in the next transaction; a lazy one waits a moment for a durable one to go with.

        Raises what the job raises, Full and Unreachable.
        """
        self._check_open()
        job = _Job(work, self._loop.create_future(), durable)
        if lazy and not self._lazy:
            self._loop.call_later(LAZY, self._hurry)
        if lazy:
            self._lazy.append(job)
        else:
            self._jobs.put(job)
            if durable:
                self._hurry()
        return await job.future

    async def do_alone(self, work: Work) -> Any:
        """Do a job outside of a transaction; raises what `do` raises."""
        self._check_open()
        job = _Job(work, self._loop.create_future(), None, alone=True)
        self._jobs.put(job)
        return await job.future

    def do_here(self, work: Work, *, durable: bool) -> tuple[Any] | None:
        """Do a job in a transaction of its own, in the thread that calls; returns its result, or its StorageError.

        Returns None, and does nothing, if another thread is using the connection: it may take long.
        """
        if self._closing or not self._used.acquire(blocking=False):
            return None
        try:
            (answer,) = self._commit([work], durable)
        finally:
            self._used.release()
        return (answer,)

    async def close(self) -> None:
        """Finish the jobs that wait, and close the connection."""
        if not self._closing:
            self._hurry()
            self._closing = True  # no job may follow the None that ends the thread: it would never be done
            self._jobs.put(None)
        await asyncio.shield(self._ended)  # not `join` in a thread: it may be impossible to start one
        self._thread.join()
        with self._used:
            self._connection.close()

    def _check_open(self) -> None:
        if self._closing or not self._thread.is_alive():
            raise Unreachable("the state is closed")

    def _hurry(self) -> None:
        while self._lazy:
            self._jobs.put(self._lazy.pop(0))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch = [job]
            while len(batch) < BATCH and not self._jobs.empty():
                following = self._jobs.get()
                if following is None:
                    self._jobs.put(None)
                    break
                batch.append(following)
            with self._used:
                answers = self._do(batch)
            with suppress(RuntimeError):  # the loop is closed, and with it all that waited
                self._loop.call_soon_threadsafe(_answer, answers)
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended.set_result, None)

    def _do(self, batch: list[_Job]) -> list[tuple[asyncio.Future[Any], Any]]:
        """Do a batch of jobs, and return each future with its result or its error."""
        together = [job for job in batch if not job.alone]
        writes = any(job.durable is not None for job in together)
        durable = any(job.durable for job in together) if writes else None
        answers = self._commit([job.work for job in together], durable)
        answered = [(job.future, answer) for job, answer in zip(together, answers, strict=True)]
        return answered + [(job.future, self._do_alone(job.work)) for job in batch if job.alone]

    def _commit(self, works: list[Work], durable: bool | None) -> list[Any]:
        """Do jobs in one transaction; returns the result of each, or its error. `durable` is None if all only read."""
        try:
            if durable is not None:
                self._sync(durable)
            self._connection.execute("BEGIN IMMEDIATE")
            self._sums.begin()
            answers = [self._attempt(work) for work in works]
            self._connection.execute("COMMIT")
            self._sums.commit()
        except Exception as error:  # whatever it is, each future must get an answer
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            self._sums.undo()
            fault = fault_of(error) if isinstance(error, sqlite3.Error) else Unreachable(f"SQLite: {error!r}")
            return [fault] * len(works)
        return answers

    def _do_alone(self, work: Work) -> Any:
        try:
            return self._attempt(work)
        except sqlite3.Error as error:
            return fault_of(error)

    def _sync(self, durable: bool) -> None:
        """Choose whether the next commit is synced (with all earlier ones in the log) or left to the system."""
        wanted = "OFF" if self._durability is Durability.NONE else "FULL" if durable else "NORMAL"
        if wanted != self._synchronous:
            self._connection.execute(f"PRAGMA synchronous = {wanted}")
            self._synchronous = wanted

    def _attempt(self, work: Work) -> Any:
        try:
            return work(self._connection)
        except StorageError as error:
            return error


def _answer(answers: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, answer in answers:
        if future.done():
            continue
        if isinstance(answer, StorageError):
            future.set_exception(answer)
        else:
            future.set_result(answer)
