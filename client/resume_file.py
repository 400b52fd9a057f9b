"""The resume file: the URLs of an unfinished upload, kept from one process to the next.

There is one for each pair of file and target. Anyone who has the URL can write to the upload, so only the user may
read the resume file. A lock file beside it is held as long as a process sends the file, and keeps a second process
away. The resume file of a finished upload is kept until the command that sent it has sent all its files. Then that of
a former version of the file is removed too: nobody resumes it any more. What a killed process has left beside a resume
file is removed by the next command.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from onward.client.errors import Busy, UploadError
from onward.client.file import Identity
from onward.client.protocols import TUS
from onward.client.text import readable

KEPT = 30 * 86400.0  # seconds until an unused resume file is removed
LOCK, NEW = ".lock", ".new"
PLACE = 16  # digits of the name of a resume file that are the same for all versions of a file


class Part(msgspec.Struct, frozen=True):
    """The bytes [start, stop) of a file, and the upload that holds them."""

    start: int
    stop: int
    url: str


class Finished(msgspec.Struct, frozen=True):
    """A file that the server has whole."""

    url: str
    sha256: str  # in hex
    verified: bool  # whether the server has computed the same


class ResumeState(msgspec.Struct, frozen=True):
    """What a resume file holds."""

    file: str  # its path, for people who look into the folder
    parts: tuple[Part, ...]  # one: the upload itself; several: to be concatenated; none: it is finished
    finished: Finished | None = None


class ResumeFile:
    """One resume file, locked."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> ResumeState | None:
        """Return the unfinished upload that was saved, if there is one that can be read."""
        record = self._read()
        if record is None or not record.parts:
            return None
        with suppress(OSError):
            os.utime(self._path)
        return record

    def finished(self) -> Finished | None:
        """Return the finished upload that was saved, if there is one that can be read."""
        record = self._read()
        return record.finished if record is not None else None

    def _read(self) -> ResumeState | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=ResumeState)
        except (OSError, msgspec.DecodeError):
            return None

    def save(self, record: ResumeState) -> None:
        """Save the state, whole or not at all; raises UploadError."""
        new = self._path.with_suffix(NEW)
        with folder_errors(new.parent):
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(msgspec.json.encode(record))
                file.flush()
                os.fsync(fd)
            new.replace(self._path)

    def finish(self, file: str, finished: Finished) -> None:
        """Save that an upload is finished; raises UploadError."""
        self.save(ResumeState(file=readable(file), parts=(), finished=finished))

    def exists(self) -> bool:
        """Return whether something was saved."""
        return self._path.exists()

    def forget(self) -> None:
        """Remove it."""
        self._path.unlink(missing_ok=True)

    def supersede(self) -> None:
        """Remove it, and those of former versions of the file that no process uses, since the file is uploaded."""
        self.forget()
        with suppress(OSError):
            for former in self._path.parent.glob(f"{self._path.stem[:PLACE]}*.json"):
                if (fd := lock_file(former.with_suffix(LOCK))) is not None:
                    former.unlink(missing_ok=True)
                    _unlock(former.with_suffix(LOCK), fd)


def file_id(file: Identity, target: str, protocol: str = TUS) -> str:
    """Return what a file, a target and a protocol are known by in the folder; the first half is that of the place."""
    place = [file.path, target, *([] if protocol == TUS else [protocol])]
    version = [file.size, file.mtime_ns, file.inode]
    return _digits(place, PLACE) + _digits([place, version], 32 - PLACE)


def _digits(words: object, count: int) -> str:
    return hashlib.sha256(msgspec.json.encode(words)).hexdigest()[:count]


@contextmanager
def open_resume_file(
    folder: Path, file: Identity, target: str, protocol: str = TUS, *, tidy: bool = True
) -> Iterator[ResumeFile]:
    """Lock the resume file of a file, a target and a protocol, and remove old ones; raises Busy or UploadError."""
    name = file_id(file, target, protocol)
    lock = folder / (name + LOCK)
    with folder_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if tidy:
            clear_old(folder)
        fd = lock_file(lock)
    if fd is None:
        raise Busy("another process is uploading this file to the same place")
    try:
        yield ResumeFile(folder / f"{name}.json")
    finally:
        _unlock(lock, fd)


@contextmanager
def folder_errors(folder: Path) -> Iterator[None]:
    """Turn the errors of the folder into an UploadError."""
    try:
        yield
    except OSError as error:
        raise UploadError(f"the resume file can't be written to {folder}: {error.strerror}") from error


def lock_file(path: Path) -> int | None:
    """Lock a file; returns None if another process holds it.

    The holder removes the file at the end, so the file that was opened may have no name any more once it is locked.
    """
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(fd).st_ino:
                    return fd
        except BlockingIOError:
            os.close(fd)
            return None
        os.close(fd)


def clear_old(folder: Path) -> None:
    """Remove what killed processes have left, and what has not been used for a month; raises OSError."""
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.suffix in (LOCK, NEW):
                _clear_left(path)
            elif path.stat().st_mtime < time.time() - KEPT:
                path.unlink()


def _clear_left(path: Path) -> None:
    """Remove a lock that no process holds, and what was being written under it."""
    lock = path.with_suffix(LOCK)
    if (fd := lock_file(lock)) is not None:
        path.with_suffix(NEW).unlink(missing_ok=True)
        _unlock(lock, fd)


def _unlock(lock: Path, fd: int) -> None:
    lock.unlink(missing_ok=True)
    os.close(fd)
