"""A folder whose system calls are kept in a journal, and may fail by order of a test."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from simulated_journal import (
    FOLDER,
    Dropped,
    FolderSynced,
    Journal,
    Named,
    Synced,
    Timed,
    Truncate,
    Write,
    apply,
    folder_of,
)

from onward.storage.running import group_sync

REAL: dict[str, Callable[..., Any]] = {
    name: getattr(os, name)
    for name in (
        "open", "close", "pwrite", "preadv", "copy_file_range", "ftruncate", "fchmod", "fdatasync", "fsync",
        "rename", "link", "unlink", "mkdir", "posix_fadvise", "stat", "utime",
    )
}  # fmt: skip


class Fault(Protocol):
    """What may go wrong: called before a system call; it may raise, or give how many bytes can be written."""

    def __call__(self, call: str) -> int | None: ...


class SimulatedDisk:
    """The calls of `os` that act on a folder, as long as it is `mounted`; `apart` puts each folder on its own disk."""

    def __init__(self, folder: Path, journal: Journal, *, apart: bool = False) -> None:
        self.folder, self.journal, self._apart = folder, journal, apart
        self.fault: Fault = lambda _: None
        self.remembers = False  # whether memory still shows what a failed sync has dropped
        self._prefix = f"{folder}/"
        self._nodes, contents = present(journal)
        self._next = journal.new_node()
        self._open: dict[int, tuple[str, int]] = {}
        self._untold: set[int] = set()  # descriptors whose files were not written, which their next sync tells
        folder.mkdir()
        first: dict[int, Path] = {}
        times = dict(journal.times)
        for path, node in sorted(self._nodes.items()):
            if node == FOLDER:
                (folder / path).mkdir()
            elif node in first:
                (folder / path).hardlink_to(first[node])
            else:
                (folder / path).write_bytes(contents[node])
                first[node] = folder / path
        for step in journal.steps:
            times |= {step.node: step.at} if isinstance(step, Timed) else {}
        for node, at in times.items():
            if node in first:
                REAL["utime"](first[node], ns=(at, at))
        self._nodes[""] = FOLDER

    @contextmanager
    def mounted(self) -> Iterator[None]:
        """Let the process act on it."""
        library = group_sync._libc
        for name in REAL:
            setattr(os, name, getattr(self, f"_{name}" if name != "open" else "_opened"))
        group_sync._libc = self  # type: ignore[assignment]
        try:
            yield
        finally:
            group_sync._libc = library
            for name, real in REAL.items():
                setattr(os, name, real)

    def content(self, path: str) -> bytes:
        """Give the bytes of a file."""
        return (self.folder / path).read_bytes()

    def _path(self, path: Any) -> str | None:
        text = os.fspath(path)
        if text == str(self.folder):
            return ""
        return text.removeprefix(self._prefix) if isinstance(text, str) and text.startswith(self._prefix) else None

    def _opened(self, path: Any, flags: int, mode: int = 0o777, **words: Any) -> int:
        name = self._path(path)
        if name is not None:
            self.fault("open")
        fd: int = REAL["open"](path, flags, mode, **words)
        if name is None:
            self._open.pop(fd, None)
            return fd
        if name not in self._nodes:
            self._nodes[name], self._next = self._next, self._next + 1
            self.journal.steps.append(Named(((name, self._nodes[name]),)))
        self._open[fd] = name, self._nodes[name]
        return fd

    def _close(self, fd: int) -> None:
        ours = self._open.pop(fd, None)
        self._untold.discard(fd)
        REAL["close"](fd)
        if ours:
            self.fault("close")

    def _pwrite(self, fd: int, data: Any, at: int) -> int:
        ours = self._open.get(fd)
        if ours:
            room = self.fault("pwrite")
            data = bytes(data)[:room]
            self.journal.steps.append(Write(ours[1], at, data))
        count: int = REAL["pwrite"](fd, data, at)
        return count

    def _preadv(self, fd: int, blocks: Any, at: int) -> int:
        if fd in self._open:
            self.fault("preadv")
        count: int = REAL["preadv"](fd, blocks, at)
        return count

    def _copy_file_range(self, source: int, target: int, count: int, start: int, at: int) -> int:
        room = self.fault("copy_file_range") or count
        data = os.pread(source, min(room, count), start)
        self.journal.steps.append(Write(self._open[target][1], at, data))
        return int(REAL["pwrite"](target, data, at))

    def _ftruncate(self, fd: int, length: int) -> None:
        if fd in self._open:
            self.fault("ftruncate")
            self.journal.steps.append(Truncate(self._open[fd][1], length))
        REAL["ftruncate"](fd, length)

    def _fchmod(self, fd: int, mode: int) -> None:
        if fd in self._open:
            self.fault("fchmod")
        REAL["fchmod"](fd, mode)

    def _fdatasync(self, fd: int) -> None:
        self._sync(fd, "fdatasync")

    def _fsync(self, fd: int) -> None:
        self._sync(fd, "fsync")

    def _sync(self, fd: int, call: str) -> None:
        if fd not in self._open:
            return  # above the folder
        name, node = self._open[fd]
        if fd in self._untold:
            self._untold.discard(fd)
            raise OSError(errno.EIO, "what syncfs could not write")
        try:
            self.fault(call if node != FOLDER else "fsync_folder")
        except OSError:
            if node != FOLDER:
                self._drop(fd, node)
            raise
        self.journal.steps.append(FolderSynced(name) if node == FOLDER else Synced(node))

    def syncfs(self, fd: int) -> int:
        """Stand for the call of the C library: all is durable."""
        try:
            self.fault("syncfs")
        except OSError:
            for each, (_, node) in list(self._open.items()):
                if node != FOLDER:
                    self._drop(each, node)
                    self._untold.add(each)
            return -1
        self.journal.steps.append(Synced(None))
        return 0

    def _drop(self, fd: int, node: int) -> None:
        """Lose what was to be synced, as the page cache may once it has told the error; the length stays."""
        content = bytearray(self.journal.durable(node))
        apply(content, Truncate(node, os.fstat(fd).st_size))
        self.journal.steps.append(Dropped(node, bytes(content)))
        if not self.remembers:
            self._posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def _posix_fadvise(self, fd: int, start: int, length: int, advice: int) -> None:
        if fd not in self._open:
            REAL["posix_fadvise"](fd, start, length, advice)
            return
        _, node = self._open[fd]
        content = present(self.journal)[1][node]
        path = next(path for path, each in self._nodes.items() if each == node)
        if content != self.content(path):
            mode = (self.folder / path).stat().st_mode
            (self.folder / path).chmod(0o600)
            (self.folder / path).write_bytes(content)
            (self.folder / path).chmod(mode)

    @property
    def still_open(self) -> list[str]:
        """Give the files that nobody has closed, by `os.close` or in a file object of their own (aiofiles)."""
        return [name for fd, (name, _) in self._open.items() if self._is_open(fd, name)]

    def _is_open(self, fd: int, name: str) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self.folder / name))
        except OSError:  # closed; or open, but its name is gone, which `os.fstat` would not raise for
            return Path(f"/proc/self/fd/{fd}").is_symlink()

    def _rename(self, old: Any, new: Any) -> None:
        source, target = self._path(old), self._path(new)
        if source is not None and target is not None:
            self.fault("rename")
            if self._apart and folder_of(source) != folder_of(target):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            node = self._nodes.pop(source)
            self._nodes[target] = node
            self.journal.steps.append(Named(((source, None), (target, node))))
        REAL["rename"](old, new)

    def _link(self, old: Any, new: Any, **words: Any) -> None:
        source, target = self._path(old), self._path(new)
        if source is not None and target is not None:
            self.fault("link")
        REAL["link"](old, new, **words)
        if source is not None and target is not None:
            self._nodes[target] = self._nodes[source]
            self.journal.steps.append(Named(((target, self._nodes[source]),)))

    def _utime(self, file: Any, **words: Any) -> None:
        ours = self._open.get(file) if isinstance(file, int) else None
        if ours:
            self.fault("utime")
        REAL["utime"](file, **words)
        if ours:
            self.journal.steps.append(Timed(ours[1], os.fstat(file).st_mtime_ns))

    def _stat(self, path: Any, **words: Any) -> os.stat_result:
        if self._path(path) is not None and not words.get("follow_symlinks", True):
            self.fault("stat")
        found: os.stat_result = REAL["stat"](path, **words)
        return found

    def _unlink(self, path: Any, **words: Any) -> None:
        name = self._path(path)
        if name is not None:
            self.fault("unlink")
        REAL["unlink"](path, **words)
        if name is not None:
            del self._nodes[name]
            self.journal.steps.append(Named(((name, None),)))

    def _mkdir(self, path: Any, mode: int = 0o777, **words: Any) -> None:
        name = self._path(path)
        if name is not None:
            self.fault("mkdir")
        REAL["mkdir"](path, mode, **words)
        if name is not None:
            self._nodes[name] = FOLDER
            self.journal.steps.append(Named(((name, FOLDER),)))


def present(journal: Journal) -> tuple[dict[str, int], dict[int, bytes]]:
    """Give the names and the bytes as the running system shows them."""
    names: dict[str, int] = dict(journal.names)
    contents = {node: bytearray(data) for node, data in journal.contents.items()}
    for step in journal.steps:
        if isinstance(step, Named):
            for path, node in step.names:
                names.pop(path, None)
                if node is not None:
                    names[path] = node
                    contents.setdefault(node, bytearray())
        elif isinstance(step, Write | Truncate):
            apply(contents.setdefault(step.node, bytearray()), step)
        elif isinstance(step, Dropped):
            contents[step.node] = bytearray(step.data)
    return names, {node: bytes(data) for node, data in contents.items()}
