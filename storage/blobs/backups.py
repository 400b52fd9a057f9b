"""Backups of records in the data folder, from which a state that comes back empty is restored.

One file for each upload, with two slots that are written in turn. A crash in the middle of a write damages one slot,
and the other one still has the copy before it. The newest slot with a correct check sum counts.

    records/ID    0: length, CRC-32, record   |   65536: length, CRC-32, record
"""

import fcntl
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from zlib import crc32

from msgspec.structs import replace

from onward.protocol.model import ID_PATTERN, Upload, UploadId
from onward.storage.base import Missing, Stale, StorageError, Unreachable
from onward.storage.blobs.disk_probe import probe_storing
from onward.storage.blobs.files import NEW, exists, mapped, move, open_regular, sync_folder, write_all
from onward.storage.blobs.folders import Folders
from onward.storage.blobs.open_copies import OpenCopies, Slots
from onward.storage.codec import decode, encode
from onward.storage.running.threads import Threads

SLOT = 2**16  # bytes
_HEAD = 8  # bytes: length and CRC-32
_HERE = 1024  # copies that wait for the save of their record, at most
_TOGETHER = 8  # copies that one call of a thread reads at most
_USUAL = 4096  # bytes that are read of a slot at first: nearly all records are shorter
_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC


class DiskBackups:
    """Copies of records in a folder; the constructor raises Full or Unreachable."""

    def __init__(self, folder: Path, pool: Threads, folders: Folders, *, synced: bool) -> None:
        self._folder, self._pool, self._folders, self._synced = folder, pool, folders, synced
        self._mapped = folders.mapped
        self._open = OpenCopies(folder, _USUAL, SLOT, _newest_of)
        self._here: dict[UploadId, Upload] = {}  # copies that `keep_here` has written
        with mapped():
            self.store = self._named(folder.parent / "store")

    async def begin(self, upload: Upload, *, durable: bool) -> None:
        """Write the first copy of a record; raises Stale."""
        with self._mapped():
            await self._pool.call(self._begin, upload, durable and self._synced)

    async def keep(self, upload: Upload, *, durable: bool) -> None:
        """Replace the copy by a newer one; raises Missing or Stale."""
        if upload.status.final:
            self._open.forget(upload.id)
        if self._here.pop(upload.id, None) == upload:
            return
        with self._mapped():
            await self._pool.call(self._keep, upload, durable and self._synced)

    def keep_here(self, upload: Upload) -> None:
        """Keep the copy of a record that is saved next, in the calling thread; what goes wrong is left to `keep`.

        `keep` then finds that it is written. What nobody has asked for is forgotten some time, which costs a write.
        """
        copy = replace(upload, version=upload.version + 1)
        with suppress(OSError, StorageError):
            self._keep(copy, self._synced)
            if len(self._here) >= _HERE:
                self._here.clear()
            self._here[upload.id] = copy

    async def kept(self, id: UploadId) -> Upload | None:
        """Return the newest copy, or None if there is none."""
        if (copy := self._open.look(id)) is not None:
            return copy
        try:
            with self._mapped():  # raises Unreachable, not Missing, if the folder is not mounted
                return await self._pool.call(self._kept, id)
        except Missing:
            return None

    async def kept_of(self, ids: Sequence[UploadId]) -> Sequence[Upload | None]:
        """Return the newest copy of each; those that a thread has to read are read by several in one call."""
        copies = [self._open.look(id_) for id_ in ids]
        missing = [at for at, copy in enumerate(copies) if copy is None]
        groups = [missing[at : at + _TOGETHER] for at in range(0, len(missing), _TOGETHER)]
        answers = [self._pool.call(self._kept_of, [ids[at] for at in group]) for group in groups]
        for group, answer in zip(groups, answers, strict=True):
            for at, copy in zip(group, await answer, strict=True):
                copies[at] = copy
        return copies

    async def renew(self, upload: Upload, holds: Callable[[], bool]) -> None:
        """Put this copy into a new file; raises Stale."""
        with self._mapped():
            await self._pool.call(self._renew, upload, holds)

    async def drop(self, id: UploadId) -> None:
        """Remove the copies of an upload."""
        self._open.forget(id)
        with self._mapped():
            await self._pool.call(self._drop, id)

    async def probe(self) -> None:
        """Write, sync and remove a small file."""
        with self._mapped():
            await self._pool.call(partial(probe_storing, self._folder, synced=self._synced))

    async def ids(self) -> AsyncIterator[UploadId]:
        """Yield the ids of all uploads that have copies."""
        with self._mapped():
            for name in await self._pool.call(os.listdir, self._folder):
                if re.fullmatch(ID_PATTERN, name):
                    yield UploadId(name)

    def close(self) -> None:
        """Close all files; called when no thread is working any more."""
        self._open.close()

    def _begin(self, upload: Upload, synced: bool) -> None:
        self._folders.check(self._folder.name)
        try:
            fd = self._written(upload, NEW, synced)
        except FileExistsError:
            fd = self._written(upload, os.O_RDWR | os.O_CREAT, synced)
        try:
            if synced:
                sync_folder(self._folder)
        except OSError:
            os.close(fd)
            raise
        self._open.offer(upload.id, fd)
        self._open.clear()

    def _keep(self, upload: Upload, synced: bool) -> None:
        os.close(self._written(upload, os.O_RDWR, synced))
        self._open.clear()

    def _drop(self, id: UploadId) -> None:
        Path(f"{self._folder}/{id}").unlink(missing_ok=True)
        self._open.clear()

    def _written(self, upload: Upload, flags: int, synced: bool) -> int:
        """Write a copy, and return the descriptor of its file; raises Stale."""
        fd = os.open(f"{self._folder}/{upload.id}", flags | _SAFE, 0o600)
        try:
            backups = (None, None) if flags == NEW else _read(fd)
            newest = _newest(backups)
            if newest != upload:
                if _rank(newest) >= _rank(upload):
                    raise Stale(upload.id)
                write_all(fd, _packed(upload), SLOT if newest is backups[0] else 0)
            if synced:
                os.fdatasync(fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _kept(self, id: UploadId) -> Upload | None:
        fd = open_regular(f"{self._folder}/{id}", os.O_RDONLY, 0)
        try:
            newest = _newest(_read(fd))
        except BaseException:
            os.close(fd)
            raise
        self._open.offer(id, fd)
        self._open.clear()
        return newest

    def _kept_of(self, ids: Sequence[UploadId]) -> list[Upload | None]:
        copies: list[Upload | None] = []
        for id_ in ids:
            try:
                with self._mapped():  # as in `kept`
                    copies.append(self._kept(id_))
            except Missing:
                copies.append(None)
        return copies

    def _renew(self, upload: Upload, holds: Callable[[], bool]) -> None:
        path = self._folder / f".{upload.id}-{secrets.token_hex(4)}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFE, 0o600)
        try:
            write_all(fd, _packed(upload), 0)
            os.fdatasync(fd)
        finally:
            os.close(fd)
        move(path, self._folder / upload.id, holds)

    @staticmethod
    def _named(path: Path) -> str:
        """Return the name of the data folder; the first server makes it, and the others wait for that."""
        if not exists(path):
            fresh = path.with_suffix(".new")
            fd = os.open(fresh, os.O_RDWR | os.O_CREAT | _SAFE, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                if exists(path):  # another server was first
                    fresh.unlink(missing_ok=True)
                else:
                    write_all(fd, secrets.token_hex(16).encode(), 0)
                    os.fsync(fd)
                    fresh.rename(path)
                    sync_folder(path.parent)
            finally:
                os.close(fd)
        if not (name := path.read_text()):
            raise Unreachable(f"{path} is damaged: it should contain the name of the data folder")
        return name


def _packed(upload: Upload) -> bytes:
    document = encode(upload)
    return len(document).to_bytes(4, "big") + crc32(document).to_bytes(4, "big") + document


def _read(fd: int) -> tuple[Upload | None, Upload | None]:
    return _slot(fd, 0), _slot(fd, SLOT)


def _slot(fd: int, at: int) -> Upload | None:
    """Return the copy in a slot, or None if there is none that is intact."""
    slot = os.pread(fd, _USUAL, at)
    if (length := int.from_bytes(slot[:4], "big")) > len(slot) - _HEAD and len(slot) == _USUAL:
        slot += os.pread(fd, min(length + _HEAD, SLOT) - _USUAL, at + _USUAL)
    return _unpacked(slot)


def _newest_of(slots: Slots) -> Upload | None:
    """Return the newest copy of what was read of each slot; None if there is none, or if one is not read whole."""
    for slot in slots:
        if int.from_bytes(slot[:4], "big") > max(len(slot) - _HEAD, 0):
            return None
    return _newest((_unpacked(slots[0]), _unpacked(slots[1])))


def _unpacked(slot: bytes) -> Upload | None:
    length, total = int.from_bytes(slot[:4], "big"), int.from_bytes(slot[4:_HEAD], "big")
    document = slot[_HEAD : _HEAD + length]
    if not length or len(document) != length or crc32(document) != total:
        return None
    try:
        return decode(document)
    except Unreachable:
        return None


def _newest(copies: tuple[Upload | None, Upload | None]) -> Upload | None:
    """Return the newest of two copies; the first one if there is none, or if both are as new."""
    first, second = copies
    return first if second is None or (first is not None and _rank(first) >= _rank(second)) else second


def _rank(copy: Upload | None) -> tuple[int, int]:
    return (copy.epoch, copy.version) if copy else (-1, -1)
