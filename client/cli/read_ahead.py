"""Reads small files ahead of those who send them, several in one call of a thread.

A call for each file would take longer than its request: the two threads would wait for each other at every step. The
files of one call are locked, as their resume files would be, until they are sent. A file that is not as it was
planned, or that another process sends, is left to `upload_file.py`, which says what is wrong. `batch.py` is the caller.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from onward.client.file import Identity
from onward.client.resume_file import LOCK, ResumeFile, lock_file
from onward.client.small_file import SmallFile, read_small

FILES = 32  # the most that are read in one call
BYTES = 2**20  # once a call has read so many bytes, it reads no further file


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A small file that has a key in the journal."""

    path: str
    id: str
    identity: Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A small file that was read, and is locked."""

    id: str
    identity: Identity
    file: SmallFile
    resume_file: ResumeFile
    lock: Path
    lock_fd: int

    def unlock(self) -> None:
        """Unlock it."""
        with suppress(OSError):
            self.lock.unlink()
        os.close(self.lock_fd)


Group = dict[str, Ready]  # by their paths


class ReadAhead:
    """The small files of one command, which are asked for in about this order, each once.

    `most` is how many files may be open: two calls may have been made whose files wait, and one whose files have ended.
    """

    def __init__(self, files: Iterable[Planned], folder: Path, most: int) -> None:
        self._folder = folder
        self._groups = list(_divided(files, min(max(most // 2, 1), FILES)))
        self._group_of = {file.path: number for number, group in enumerate(self._groups) for file in group}
        self._readings: dict[int, asyncio.Future[Group]] = {}  # by the numbers of their groups
        self._ended: SimpleQueue[Ready] = SimpleQueue()  # files that are to be unlocked
        self._thread = ThreadPoolExecutor(1)

    async def take(self, path: str) -> Ready | None:
        """Return a file that was read, and have the next ones read; None if `upload_file.py` has to send it."""
        number = self._group_of.pop(path, None)
        if number is None:
            return None
        reading = self._reading(number)
        if number + 1 < len(self._groups):
            self._reading(number + 1)
        if not reading.done():
            await asyncio.wait([reading])
        return reading.result().pop(path, None)

    def _reading(self, number: int) -> asyncio.Future[Group]:
        if number not in self._readings:
            loop = asyncio.get_running_loop()
            self._readings[number] = loop.run_in_executor(self._thread, self._read, self._groups[number])
        return self._readings[number]

    def end(self, ready: Ready) -> None:
        """Unlock a file soon: together with the next call of the thread, since each call costs more than that."""
        self._ended.put(ready)

    def _unlock_ended(self) -> None:
        with suppress(Empty):
            while True:
                self._ended.get_nowait().unlock()

    def _read(self, group: Sequence[Planned]) -> Group:
        self._unlock_ended()
        found: Group = {}
        for planned in group:
            with suppress(OSError):
                lock = self._folder / (planned.id + LOCK)
                fd = lock_file(lock)
                if fd is None:
                    continue
                resume_file = ResumeFile(self._folder / f"{planned.id}.json")
                file = None if resume_file.exists() else read_small(planned.path, planned.identity)
                if file is None:
                    lock.unlink(missing_ok=True)
                    os.close(fd)
                    continue
                found[planned.path] = Ready(
                    id=planned.id,
                    identity=planned.identity,
                    file=file,
                    resume_file=resume_file,
                    lock=lock,
                    lock_fd=fd,
                )
        return found

    async def close(self) -> None:
        """Unlock what was read and not taken."""
        if self._readings:
            await asyncio.wait(self._readings.values())
        for reading in self._readings.values():
            for ready in reading.result().values():
                ready.unlock()
        self._unlock_ended()
        self._thread.shutdown()


def _divided(files: Iterable[Planned], most: int) -> Iterable[Sequence[Planned]]:
    group, size = list[Planned](), 0
    for file in files:
        group.append(file)
        size += file.identity.size
        if len(group) >= most or size >= BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
