"""Copies of records that were just read or written, kept open, so that they can be read again without a thread.

Every request for an offset looks at the copy, and so does every PATCH, since only the copy tells whether Redis has lost
its newest records. To hand that to a thread and to wait for it takes many times as long as to read a page of memory.

    a thread opens a copy    offer ----> kept open, with device and inode number     about MOST of them
    the event loop           look -----> its slots, if that takes no waiting         otherwise None: a thread reads it
                             forget ---> closed by the next thread that works here

What `look` returns is as new as what a thread would read:

- The bytes are read each time, from the page cache, which all processes of this machine share. So this is done on file
  systems only that no other machine can write to, except by way of this one (FLAGS).
- After that the path still has to lead to the same file: a copy that was replaced, removed, or is no longer mounted is
  not looked at.

And it never waits: RWF_NOWAIT fails instead if a page is not in memory, and the names on the path stay in memory as
long as a file below them is open. Called by backups.py.
"""

import os
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from onward.protocol.model import Upload, UploadId

MOST = 128  # copies that are kept open, and as many that `look` has not come across yet
# How to read without waiting, by the type of the file system; that of tmpfs is all in memory.
FLAGS = {"ext4": os.RWF_NOWAIT, "xfs": os.RWF_NOWAIT, "tmpfs": 0}
Slots = tuple[bytes, bytes]
Identity = tuple[int, int]


class _Copy:
    """An open copy, and what was last read of it."""

    __slots__ = ("fd", "identity", "newest", "slots")

    def __init__(self, fd: int, identity: Identity) -> None:
        self.fd, self.identity = fd, identity
        self.slots: Slots = b"", b""
        self.newest: Upload | None = None


class OpenCopies:
    """The open copies of one folder. A slot is `size` bytes, the second one begins at `second`.

    `parse` returns the newest copy of two slots; None if there is none, or if one of them is longer than `size`.
    """

    def __init__(self, folder: Path, size: int, second: int, parse: Callable[[Slots], Upload | None]) -> None:
        self._folder, self._second, self._parse = str(folder), second, parse
        self._buffer = bytearray(size)
        self._flags: int | None = None  # None if other machines may write to this folder
        self._asked = False  # whether the file system was looked at
        self._copies: OrderedDict[UploadId, _Copy] = OrderedDict()
        self._offered: deque[tuple[UploadId, _Copy]] = deque()  # by threads, and not yet among the copies
        self._over: deque[int] = deque()  # descriptors to close; in a thread, since that may have to remove a file

    def offer(self, id: UploadId, fd: int) -> None:
        """Take over the descriptor of a copy; called in a thread."""
        if not self._asked:
            self._flags, self._asked = FLAGS.get(_file_system(fd)), True
        if self._flags is None or len(self._offered) >= MOST:
            os.close(fd)
            return
        found = os.fstat(fd)
        self._offered.append((id, _Copy(fd, (found.st_dev, found.st_ino))))

    def look(self, id: UploadId) -> Upload | None:
        """Return the newest copy, if it can be read without waiting; None means that a thread has to read it."""
        while self._offered:
            self._add(*self._offered.popleft())
        if (copy := self._copies.get(id)) is None:
            return None
        try:
            slots = self._read(copy.fd, 0), self._read(copy.fd, self._second)
            found = os.stat(f"{self._folder}/{id}", follow_symlinks=False)
        except OSError:
            self.forget(id)
            return None
        if (found.st_dev, found.st_ino) != copy.identity:
            self.forget(id)
            return None
        if slots != copy.slots:
            copy.slots, copy.newest = slots, self._parse(slots)
        self._copies.move_to_end(id)
        return copy.newest

    def forget(self, id: UploadId) -> None:
        """Keep a copy open no longer."""
        if (copy := self._copies.pop(id, None)) is not None:
            self._over.append(copy.fd)

    def clear(self) -> None:
        """Close what is not kept open any more; called in a thread."""
        with suppress(IndexError):
            while True:
                os.close(self._over.popleft())

    def close(self) -> None:
        """Close all copies; called when no thread is working any more."""
        for _, copy in (*self._copies.items(), *self._offered):
            self._over.append(copy.fd)
        self._copies.clear()
        self._offered.clear()
        self.clear()

    def _add(self, id: UploadId, copy: _Copy) -> None:
        self.forget(id)
        self._copies[id] = copy
        if len(self._copies) > MOST:
            self._over.append(self._copies.popitem(last=False)[1].fd)

    def _read(self, fd: int, at: int) -> bytes:
        count = os.preadv(fd, [self._buffer], at, self._flags or 0)
        return bytes(memoryview(self._buffer)[:count])


def _file_system(fd: int) -> str:
    """Return the type of the file system that a file is on; '' if that is not known."""
    device = os.fstat(fd).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError), open("/proc/self/mountinfo") as mounts:
        for mount in mounts:  # 36 35 98:0 / /mnt rw,noatime master:1 - ext4 /dev/root rw
            place, _, source = mount.partition(" - ")
            if place.split()[2] == number:
                return source.split()[0]
    return ""
