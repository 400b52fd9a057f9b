"""Numbers of several worker processes in memory that they share, so that any of them can add up all of them.

The parent makes one piece of memory for each worker before it forks (server/workers.py). A worker that is started again
finds what its predecessor has counted, and goes on from there, so that a sum never falls. What is true only now, such
as the bodies that are running, ends with its process.
"""

import os
from collections.abc import Mapping, Sequence
from mmap import mmap
from zlib import crc32

import msgspec

SIZE = 2**18  # bytes for each worker; its numbers take a tenth of that
HEAD = 12  # bytes: the process id, the length of the numbers, and their check sum
TRIES = 3  # to read numbers that are just being written
Numbers = dict[tuple[str, ...], float]


def shared_memory(count: int) -> list[mmap]:
    """Make the memory of so many workers."""
    return [mmap(-1, SIZE) for _ in range(count)]


class SharedNumbers:
    """The numbers of all workers, as the worker `own` sees them; `of_now` are the names of those that end with it."""

    def __init__(self, memory: Sequence[mmap], own: int, of_now: frozenset[str]) -> None:
        self._memory, self._own, self._of_now = memory, own, of_now
        _, before = self._read(own)
        self._before = {key: number for key, number in before.items() if key[0] not in of_now}

    def write(self, numbers: Numbers) -> None:
        """Replace the numbers of this worker, which it has counted since its own start."""
        total = self._before | numbers
        for key in self._before.keys() & numbers.keys():
            total[key] = self._before[key] + numbers[key]
        text = msgspec.json.encode([(*key, number) for key, number in total.items()])
        if len(text) <= SIZE - HEAD:
            head = b"".join(number.to_bytes(4, "little") for number in (os.getpid(), len(text), crc32(text)))
            self._memory[self._own][: HEAD + len(text)] = head + text

    def total(self) -> Numbers:
        """Return the sums over all workers; what is true only now counts for those that are running."""
        sums: Numbers = {}
        for number in range(len(self._memory)):
            pid, numbers = self._read(number)
            running = _is_running(pid)
            for key, value in numbers.items():
                if running or key[0] not in self._of_now:
                    sums[key] = sums.get(key, 0) + value
        return sums

    def processes(self) -> Mapping[int, int]:
        """Return the process ids of the running workers, by their numbers."""
        pids = {number: self._read(number)[0] for number in range(len(self._memory))}
        return {number: pid for number, pid in pids.items() if _is_running(pid)}

    def _read(self, number: int) -> tuple[int, Numbers]:
        """Return the process id of a worker and its numbers; nothing if it has written none yet."""
        memory = self._memory[number]
        for _ in range(TRIES):
            pid, length, check = (int.from_bytes(memory[at : at + 4], "little") for at in range(0, HEAD, 4))
            text = memory[HEAD : HEAD + length]
            if length and crc32(text) == check:
                rows = msgspec.json.decode(text)
                return pid, {tuple(key): value for *key, value in rows}
        return 0, {}


def _is_running(pid: int) -> bool:
    return pid > 0 and os.path.exists(f"/proc/{pid}/fd")
