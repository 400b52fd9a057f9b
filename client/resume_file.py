"""The resume file: where the server has an upload of a file, kept from one process to the next.

Whoever has the URL can write to the upload, so only the user may read it. A lock beside it, held as long as the
process sends the file, keeps a second process away. A finished upload has a resume file as long as the command that
sent it has not sent all its files.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple
from pathlib import Path

import msgspec

from onward.client.answers import readable
from onward.client.errors import Busy, UploadError
from onward.client.file import Identity

KEPT = 30 * 86400.0  # seconds after which unused files are removed: a resume file, what a kill left beside it
LOCK = ".lock"


class Part(msgspec.Struct, frozen=True):
    """The bytes [start, stop) of a file, and the upload that takes them."""

    start: int
    stop: int
    url: str


class Finished(msgspec.Struct, frozen=True):
    """A file that the server has whole: its SHA-256 in hex, and whether the server has computed the same."""

    url: str
    sha256: str
    verified: bool


class Record(msgspec.Struct, frozen=True):
    """What a resume file holds: one part is the upload itself, several are to be joined, none is left once finished."""

    file: str
    parts: tuple[Part, ...]
    finished: Finished | None = None


class Memory:
    """One resume file, locked."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Record | None:
        """Give the unfinished upload that was saved, if there is one that can be read."""
        record = self._read()
        if record is None or not record.parts:
            return None
        with suppress(OSError):
            os.utime(self._path)
        return record

    def finished(self) -> Finished | None:
        """Give the finished upload that was saved, if there is one that can be read."""
        record = self._read()
        return record.finished if record is not None else None

    def _read(self) -> Record | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Record)
        except (OSError, msgspec.DecodeError):
            return None

    def save(self, record: Record) -> None:
        """Save, whole or not at all; raises UploadError."""
        new = self._path.with_suffix(".new")
        with _kept(new.parent):
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.write(msgspec.json.encode(record))
                file.flush()
                os.fsync(fd)
            new.replace(self._path)

    def finish(self, file: str, finished: Finished) -> None:
        """Save that an upload is finished; raises UploadError."""
        self.save(Record(file=readable(file), parts=(), finished=finished))

    def forget(self) -> None:
        """Remove it."""
        self._path.unlink(missing_ok=True)


@contextmanager
def remembered(folder: Path, file: Identity, target: str, *, tidy: bool = True) -> Iterator[Memory]:
    """Lock the resume file of a file and a target, and remove old ones; raises Busy or UploadError."""
    name = hashlib.sha256(msgspec.json.encode([*astuple(file), target])).hexdigest()[:32]
    lock = folder / (name + LOCK)
    with _kept(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if tidy:
            _tidy(folder)
        fd = _locked(lock)
    if fd is None:
        raise Busy("another process is uploading this file to the same place")
    try:
        yield Memory(folder / f"{name}.json")
    finally:
        lock.unlink(missing_ok=True)
        os.close(fd)


@contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Turn the faults of the folder into a sentence."""
    try:
        yield
    except OSError as error:
        raise UploadError(f"{folder} can't keep where the upload is: {error.strerror}") from error


def _locked(path: Path) -> int | None:
    """Lock a file that its holder removes: what was opened may have no name any more once it is locked."""
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


def _tidy(folder: Path) -> None:
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - KEPT:
                (_unlock if path.suffix == LOCK else Path.unlink)(path)


def _unlock(path: Path) -> None:
    """Remove a lock that a killed process left; one that is held stays."""
    if (fd := _locked(path)) is not None:
        path.unlink()
        os.close(fd)
