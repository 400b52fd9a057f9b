"""Bytes in a local folder: `partial/` while they arrive, `files/` once they are published.

    data folder
      partial/ID      an upload on its way, mode 0600, written by position and unbuffered
      files/ID        a published upload, mode 0440; it appears whole, by a rename (publishing.py)
      files/PATH      the same at the path that a layout makes; it appears by a link (staging.py)
      records/ID      backups of records, if the state is shared (backups.py)
      nodes/, lock    which servers are alive (nodes.py)
      volumes, store  what a start has to find again (folders.py, backups.py)

A place is a relative path below the data folder, as places.py says; it changes when a file is staged and published.
This file opens, joins, fences and removes places, and reading.py reads them; files.py has the steps that they have in
common. All of it runs in worker threads: short work in `_pool`, long work (hashing, copying) in `_slow`, so that no
body waits for it.
"""

import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from onward.protocol.model import Place, UploadId
from onward.storage.base import (
    NOTHING_KNOWN,
    NOTHING_SAID,
    USUAL_MODES,
    About,
    Ahead,
    Durability,
    Missing,
    Modes,
    Room,
    Stale,
    StoredBytes,
    Stride,
    Unreachable,
)  # fmt: skip
from onward.storage.blobs.backups import DiskBackups
from onward.storage.blobs.disk_probe import probe_publishing
from onward.storage.blobs.file_writer import FileWriter
from onward.storage.blobs.files import closed, copy, copy_some, exists, mapped, move, open_regular, opened, sync_folder
from onward.storage.blobs.folders import Folders
from onward.storage.blobs.nodes import DiskNodes
from onward.storage.blobs.places import parts
from onward.storage.blobs.publishing import STEP, Publishing
from onward.storage.blobs.short_files import DiskShortFiles
from onward.storage.blobs.staging import Staging
from onward.storage.blobs.strays import DiskStrays
from onward.storage.failpoints import reach
from onward.storage.running.group_sync import GroupSync
from onward.storage.running.threads import Threads

FOLDERS = ("partial", "files")
RECORDS = "records"
SWEPT = (*FOLDERS, RECORDS)
THREADS = 8
SLOW_THREADS = 2
STRIDE = Stride(bytes=16 * 2**20, seconds=0.25)  # a watcher is promised a message every 250 ms


class DiskBlobs(DiskStrays):
    """Bytes in a local folder; the constructor raises Unreachable if a folder in it is not mounted."""

    stride, _swept = STRIDE, SWEPT

    def __init__(
        self, root: Path, durability: Durability = Durability.FULL, modes: Modes = USUAL_MODES, *, shared: bool = False
    ) -> None:
        self._root, self._durability = root.resolve(), durability
        self._pool = Threads(THREADS, "disk")
        self._slow = Threads(SLOW_THREADS, "disk-slow")
        self._group = GroupSync(self._pool.call)
        self._folders = Folders(self._root, SWEPT, self._sync_folder)
        self._mapped = self._folders.mapped
        self._publishing = Publishing(
            self._pool,
            self._slow,
            open_=self._open_to_write,
            check_folder=partial(self._folders.check, "files"),
            sync_acknowledged=self._sync_acknowledged,
            sync_folder=self._sync_folder,
            synced=durability is not Durability.NONE,
            mode=modes.file,
        )
        self._staging = Staging(
            self._root,
            self._pool,
            self._publishing,
            open_=self._open_to_write,
            check_folder=partial(self._folders.check, "files"),
            sync_folder=self._sync_folder,
            modes=modes,
        )
        self.short = DiskShortFiles(
            self._root,
            self._pool,
            self._publishing,
            check_folder=self._folders.check,
            sync_folder=self._sync_folder,
            mapped=self._mapped,
            shared=shared,
        )
        self._ending = [self.short.clear]

    def backups(self) -> DiskBackups:
        """Return the copies of records that are in the same folder; raises Full or Unreachable."""
        synced = self._durability is not Durability.NONE
        backups = DiskBackups(self._root / RECORDS, self._pool, self._folders, synced=synced)
        self._ending.append(backups.close)
        self.short.keep = backups.keep_here
        return backups

    def _sync_folder(self, folder: Path) -> None:
        if self._durability is not Durability.NONE:
            sync_folder(folder)

    async def _sync_file(self, fd: int) -> None:
        if self._durability is Durability.GROUP:
            await self._group.sync(fd)
        elif self._durability is not Durability.NONE:
            await self._pool.call(os.fdatasync, fd)

    async def create(self, id: UploadId) -> Place:
        """Return a place; the file is created with its first byte."""
        return Place(f"partial/{id}")

    @asynccontextmanager
    async def open(
        self, place: Place, at: int, holds: Callable[[], bool] = lambda: True, _ahead: Ahead = NOTHING_KNOWN
    ) -> AsyncIterator[FileWriter]:
        """Open a place; the file itself is opened by the first write, which raises Missing or Stale."""

        def open_() -> int:
            reach("opening")
            with self._mapped():
                fd = self._open(self._root / place, at)
            if not holds():
                os.close(fd)
                raise Stale(place)
            return fd

        writer = FileWriter(place, at, open_, None if self._durability.relaxed else self._sync_file)
        try:
            yield writer
        finally:
            if writer.fd is not None:
                with self._mapped():
                    os.close(writer.fd)

    def _open(self, path: Path, at: int) -> int:
        if at:
            return self._open_to_write(path, 0, at)
        self._folders.check("partial")
        self.short.begin(path.name)
        fd = self._open_to_write(path, os.O_CREAT, 0)
        try:
            if not self._durability.relaxed:
                self._sync_folder(path.parent)  # also if the file exists: a crash may have come before this sync
        except OSError:
            os.close(fd)
            raise
        reach("opened")
        return fd

    def _open_to_write(self, path: Path, flags: int, at_least: int) -> int:
        try:
            return open_regular(path, os.O_RDWR | flags, at_least)
        except PermissionError:
            if not exists(path):  # it is the folder that refuses new files; no bytes are lost
                raise
            fd = open_regular(path, os.O_RDONLY, at_least)  # the server died while it sealed this file
            try:
                os.fchmod(fd, 0o600)
            finally:
                os.close(fd)
            return open_regular(path, os.O_RDWR | flags, at_least)
        except Unreachable:
            final = self._root / "files" / path.name
            if final == path or not exists(final) or not final.samefile(path):
                raise
            final.unlink()  # a power cut during publishing has left both the old and the new name
            return open_regular(path, os.O_RDWR | flags, at_least)

    async def join(self, place: Place, parts: Sequence[tuple[Place, int]]) -> AsyncGenerator[int, None]:
        """Fill a place with the first bytes of each part; raises Missing."""
        at = 0
        async with self.open(place, 0) as writer:
            target = await self._pool.call(writer.descriptor)
            for part, length in parts:
                if not length:  # there may be no file
                    continue
                with self._mapped():
                    source = await opened(self._pool, open_regular, self._root / part, os.O_RDONLY, length)
                    try:
                        start = 0
                        while start < length:
                            count = min(STEP, length - start)
                            copied = await self._slow.call(copy_some, source, target, count, start, at)
                            if not copied:
                                raise Missing(f"{part} ends at {start}, before {length}")
                            start, at = start + copied, at + copied
                            reach("copied")
                            yield at
                    finally:
                        os.close(source)
            with self._mapped():  # here, while the parts are still being hashed, so that sealing need not wait for it
                await self._sync_file(target)

    async def stage(
        self,
        place: Place,
        length: int,
        path: str,
        holds: Callable[[], bool] = lambda: True,
        *,
        acknowledged: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> Place:
        """Make exactly `length` bytes ready to be published at a path; raises Missing or Stale."""
        with self._mapped():
            return await self._staging.stage(place, length, path, holds, acknowledged=acknowledged, check=check)

    async def seal(
        self,
        place: Place,
        length: int,
        holds: Callable[[], bool] = lambda: True,
        *,
        acknowledged: bool = False,
        check: Callable[[], None] = lambda: None,
        about: About = NOTHING_SAID,  # noqa: ARG002
    ) -> Place:
        """Publish exactly `length` bytes under files/; raises Missing or Stale."""
        if (taken := parts(place)).token:
            with self._mapped():
                return await self._pool.call(self._staging.seal, taken, holds) if taken.path else place
        final = Place(f"files/{Path(place).name}")
        unfinished, published = self._root / place, self._root / final
        with self._mapped():
            if not await self._pool.call(self._publishing.rename, unfinished, published, length, holds, acknowledged):
                await self._publishing.copy(unfinished, published, length, holds, check)
        return final

    async def trim(self, place: Place, at: int, holds: Callable[[], bool]) -> int:
        """Remove all bytes from a position on, and return how many there were; raises Missing or Stale."""
        async with self.open(place, at, holds) as writer:
            with self._mapped():
                return await self._pool.call(writer.trim, at)

    async def fence(self, place: Place, length: int, holds: Callable[[], bool]) -> Place:
        """Copy the bytes to a new file of the same name; raises Missing or Stale."""
        with self._mapped():
            if (taken := parts(place)).path:
                return await self._slow.call(self._staging.fence, taken, holds)
            await self._slow.call(self._fence, self._root / taken.where, length, holds)
        return place

    def _fence(self, path: Path, length: int, holds: Callable[[], bool]) -> None:
        if not exists(path):
            path = self._root / "files" / path.name
            if not length:  # what is there was not recorded, and must not come back in the place of what may follow
                return
            length = max(length, path.stat().st_size)  # a published file is whole
        fresh = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
        copy(path, fresh, length, 0o440 if path.parent.name == "files" else 0o600)
        reach("fencing")
        move(fresh, path, holds)

    async def room(self) -> Room | None:
        """Return the free bytes that this user may use."""
        with self._mapped():
            return await self._pool.call(self._folders.room)

    async def probe(self) -> None:
        """Write, sync, publish and remove a small file."""
        with self._mapped():
            await self._pool.call(self._probe)

    def _probe(self) -> None:
        self._folders.check()
        arriving, published = (self._root / name for name in FOLDERS)
        probe_publishing(arriving, published, synced=self._durability is not Durability.NONE)

    async def sync(self, place: Place) -> None:
        """Make durable all bytes of a place, and its name; raises Missing."""
        with self._mapped():
            if (taken := parts(place)).token:  # it was synced when it was staged
                await self._pool.call(self._staging.find, taken)
            else:
                await self._pool.call(self._sync_place, self._root / place)

    def _sync_place(self, path: Path) -> None:
        if not exists(path) and exists(self._root / "files" / path.name):
            return  # a published file was synced before it got its name
        fd = self._open_to_write(path, 0, 0)
        with closed(fd):
            self._sync_acknowledged(fd, path)
        self._sync_folder(path.parent)

    def _sync_acknowledged(self, fd: int, path: Path) -> None:
        try:
            if self._durability is not Durability.NONE:
                os.fsync(fd)
        except OSError as error:  # the kernel may drop pages that it could not write, and report success next time
            raise Missing(f"{path.name} can't be synced: {error}") from error

    async def remove(self, place: Place) -> None:
        """Remove a place, published or not."""
        with self._mapped():
            if (taken := parts(place)).token:
                await self._pool.call(self._staging.remove, taken)
            else:
                await self._pool.call(self._remove, self._root / place)

    def _remove(self, path: Path) -> None:
        if "." in path.name:  # a temporary file that a crash has left
            path.unlink(missing_ok=True)
            return
        if "-" in path.name:
            self.short.remove_marked(path)
            return
        for folder in reversed(FOLDERS):  # a published file without a record keeps its mark to the last
            (self._root / folder / path.name).unlink(missing_ok=True)
            reach("removed")
            self._sync_folder(self._root / folder)
        (self._root / "files" / f".{path.name}").unlink(missing_ok=True)  # staged, and not recorded

    async def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
        self._slow.shutdown()
        for end in self._ending:
            end()


async def open_blobs(
    _url: str, data: Path, durability: Durability, shared: bool, modes: Modes = USUAL_MODES
) -> StoredBytes:
    """Open the data folder, or create it; raises Unreachable if another server uses it and does not share it."""
    blobs = DiskBlobs(data, durability, modes, shared=shared)
    with mapped():
        nodes = DiskNodes(data, shared=shared)
    return StoredBytes(blobs=blobs, backups=blobs.backups(), nodes=nodes)
