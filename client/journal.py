"""The journal of a command with many small files: one file instead of a resume file for each of them.

Before anything is sent, every small file gets a random key, and all keys are written and synced at once. A file goes
to the server in one request, whose `Idempotency-Key` is made from its key. So whatever interrupts a request, a later
process repeats it with the same key, and the server knows the upload that it has made already. What is finished is
appended, and synced about once a second: a line that a power cut takes only means that a request is repeated.

The journal belongs to one target and one protocol. The process that uses it holds its lock; another one that runs at
the same time does without, and gives each file a resume file.
"""

import asyncio
import hashlib
import os
import secrets
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from onward.client.resume_file import LOCK, NEW, PLACE, Finished, folder_errors, lock_file

SYNC_EVERY = 1.0  # seconds
SUFFIX = ".journal"


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one file."""

    file: str  # as `file_id` names it
    key: str
    finished: Finished | None = None


class Journal:
    """The journal of one target, locked."""

    def __init__(self, path: Path, lock: Path, lock_fd: int) -> None:
        self._path, self._lock, self._lock_fd = path, lock, lock_fd
        self._entries = _read(path)
        self._fd: int | None = None
        self._synced = time.monotonic()
        self._syncing: asyncio.Future[None] | None = None
        self._lines: list[bytes] = []  # that are written in the next turn of the event loop

    def plan(self, files: Collection[str], *, again: bool) -> None:
        """Give each file a key, a new one if it is wanted `again`, and sync them; raises UploadError."""
        for file in files:
            if again or file not in self._entries:
                self._entries[file] = Entry(file, secrets.token_hex(16))
        self._write()
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def creation_key(self, file: str, said: Mapping[str, str]) -> str:
        """Return the Idempotency-Key of a creation that says this in its headers, of a planned file."""
        whole = [self._entries[file].key, *sorted(said.items())]
        return hashlib.sha256(msgspec.json.encode(whole)).hexdigest()[:32]

    def finished(self, file: str) -> Finished | None:
        """Return the finished upload of a file."""
        entry = self._entries.get(file)
        return entry.finished if entry else None

    def finish(self, file: str, finished: Finished) -> None:
        """Note that a planned file is finished; a folder that can't be written is ignored, as the key is known."""
        self._append(Entry(file, self._entries[file].key, finished))
        idle = self._syncing is None or self._syncing.done()
        if self._fd is not None and idle and time.monotonic() > self._synced + SYNC_EVERY:
            self._synced = time.monotonic()
            self._syncing = asyncio.get_running_loop().run_in_executor(None, _sync, self._fd)

    def renew(self, file: str) -> None:
        """Give a file another key, if it has one: its upload is useless, or the server no longer has it."""
        if file in self._entries:
            self._append(Entry(file, secrets.token_hex(16)))
            self._flush()
            if self._fd is not None:
                _sync(self._fd)

    def _append(self, entry: Entry) -> None:
        self._entries[entry.file] = entry
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._flush)
        self._lines.append(msgspec.json.encode(entry) + b"\n")

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        if self._fd is not None and lines:
            with suppress(OSError):
                os.write(self._fd, b"".join(lines))

    def forget(self, files: Collection[str]) -> None:
        """Remove files, and former versions of them."""
        places = {file[:PLACE] for file in files}
        self._entries = {file: entry for file, entry in self._entries.items() if file[:PLACE] not in places}
        with suppress(OSError):
            if self._entries:
                self._write()
            else:
                self._path.unlink(missing_ok=True)

    async def close(self) -> None:
        """Sync it, and unlock it."""
        try:
            if self._syncing is not None:
                await self._syncing
        finally:
            self._flush()
            if self._fd is not None:
                _sync(self._fd)
                os.close(self._fd)
            self._lock.unlink(missing_ok=True)
            os.close(self._lock_fd)

    def _write(self) -> None:
        new = self._path.with_suffix(NEW)
        with folder_errors(new.parent):
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(fd, "wb") as file:
                file.writelines(msgspec.json.encode(entry) + b"\n" for entry in self._entries.values())
                file.flush()
                os.fsync(fd)
            new.replace(self._path)
            _sync_folder(new.parent)


def open_journal(folder: Path, target: str, protocol: str) -> Journal | None:
    """Lock the journal of a target; None if another process has it. Raises UploadError."""
    name = hashlib.sha256(msgspec.json.encode([target, protocol, "journal"])).hexdigest()[:32]
    lock = folder / (name + LOCK)
    with folder_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = lock_file(lock)
    return None if fd is None else Journal(folder / (name + SUFFIX), lock, fd)


def _read(path: Path) -> dict[str, Entry]:
    """Return the entries by their files; a line that a crash has cut, and all that is no entry, is left out."""
    entries: dict[str, Entry] = {}
    decoder = msgspec.json.Decoder(Entry)
    with suppress(OSError):
        for line in path.read_bytes().splitlines():
            with suppress(msgspec.DecodeError):
                entry = decoder.decode(line)
                entries[entry.file] = entry
    return entries


def _sync(fd: int) -> None:
    with suppress(OSError):
        os.fdatasync(fd)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
