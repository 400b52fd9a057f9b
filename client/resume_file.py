"""The resume file: the URLs of an unfinished upload, kept from one process to the next.

There is one for each pair of file and target. Anyone who has the URL can write to the upload, so only the user may
read the resume file. A lock file beside it is held as long as a process sends the file, and keeps a second process
away. The resume file of a finished upload is kept until the command that sent it has sent all its files.
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

KEPT = 30 * 86400.0  # seconds until an unused resume file is removed, and what a killed process left beside it
LOCK = ".lock"


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
        new = self._path.with_suffix(".new")
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


def file_id(file: Identity, target: str, protocol: str = TUS) -> str:
    """Return what a file, a target and a protocol are known by in the folder."""
    whose = [file.path, file.size, file.mtime_ns, file.inode, target, *([] if protocol == TUS else [protocol])]
    return hashlib.sha256(msgspec.json.encode(whose)).hexdigest()[:32]


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
        lock.unlink(missing_ok=True)
        os.close(fd)


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
    """Remove what has not been used for a month; raises OSError."""
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - KEPT:
                (_unlock if path.suffix == LOCK else Path.unlink)(path)


def _unlock(path: Path) -> None:
    """Remove a lock that a killed process left; one that is held stays."""
    if (fd := lock_file(path)) is not None:
        path.unlink()
        os.close(fd)
