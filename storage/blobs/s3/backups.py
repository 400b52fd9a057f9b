"""Backups of records beside the bytes, as small objects `records/ID`, and the name of the store.

A copy is only replaced by a newer one: each write is conditional on the ETag of the copy that it replaces, so that a
server that was suspended can't write an old one over it.
"""

import asyncio
import os
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from onward.protocol.model import Upload, UploadId
from onward.storage.base import Missing, Stale, Unreachable
from onward.storage.blobs.files import sync_folder
from onward.storage.blobs.s3.client import S3Client
from onward.storage.blobs.s3.faults import Taken
from onward.storage.blobs.s3.garbage import remove_keys
from onward.storage.blobs.s3.probe import Probe
from onward.storage.codec import decode, encode

NAME = "store"  # the object, and the file in the data folder of a server that has its state there
REMEMBERED = 10_000  # copies whose ETags this process knows
ATTEMPTS = 5
Rank = tuple[int, int]


class S3Backups:
    """Copies of records in a bucket; `store` is its name."""

    def __init__(self, client: S3Client, store: str) -> None:
        self.store = store
        self._client = client
        self._written: OrderedDict[UploadId, tuple[Upload, str]] = OrderedDict()
        self.probe = Probe(client).check

    async def begin(self, upload: Upload, *, durable: bool) -> None:  # noqa: ARG002
        """Write the first copy of a record."""
        try:
            await self._put(upload, absent=True)
        except Taken:
            await self._replace(upload)

    async def keep(self, upload: Upload, *, durable: bool) -> None:  # noqa: ARG002
        """Replace the copy by a newer one; raises Missing or Stale."""
        await self._replace(upload)

    async def kept(self, id: UploadId) -> Upload | None:
        """Return the copy, or None if there is none."""
        try:
            return decode((await self._client.fetch(f"records/{id}"))[0])
        except Missing:
            return None

    async def kept_of(self, ids: Sequence[UploadId]) -> Sequence[Upload | None]:
        """Return the copy of each, or None if there is none."""
        return await asyncio.gather(*map(self.kept, ids))

    async def renew(self, upload: Upload, holds: Callable[[], bool]) -> None:
        """Replace the copy, whatever it is; raises Stale."""
        if not holds():
            raise Stale(upload.id)
        await self._put(upload)

    async def drop(self, id: UploadId) -> None:
        """Remove the copy of an upload."""
        self._written.pop(id, None)
        await remove_keys(self._client, [f"records/{id}"])

    async def ids(self) -> AsyncIterator[UploadId]:
        """Yield the ids of all uploads that have copies."""
        async for found in self._client.listed("records/"):
            yield UploadId(found.name.removeprefix("records/"))

    async def _replace(self, upload: Upload) -> None:
        for _ in range(ATTEMPTS):
            known = self._written.pop(upload.id, None) or await self._read(upload.id)
            copy, etag = known
            if copy == upload:
                self._written[upload.id] = known
                return
            if _rank(copy) >= _rank(upload):
                raise Stale(upload.id)
            try:
                await self._put(upload, etag=etag)
            except (Taken, Missing):  # another server has replaced or removed it, or this is the second attempt
                continue
            return
        raise Unreachable("a copy of a record changes all the time")

    async def _read(self, id: UploadId) -> tuple[Upload, str]:
        document, etag = await self._client.fetch(f"records/{id}")
        return decode(document), etag

    async def _put(self, upload: Upload, *, absent: bool = False, etag: str = "") -> None:
        document = encode(upload)
        written = await self._client.store(f"records/{upload.id}", [document], absent=absent, etag=etag)
        self._written[upload.id] = upload, written
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)


def _rank(copy: Upload) -> Rank:
    return copy.epoch, copy.version


async def name_of(client: S3Client, data: Path, *, shared: bool) -> str:
    """Return the name of the store, which its first server makes.

    A server that has its state in a data folder keeps the name there as well. Raises Unreachable if the bucket belongs
    to another one: each would remove the bytes of the other as strays.
    """
    mine = secrets.token_hex(16) if shared else _kept_name(data)
    try:
        await client.store(NAME, [mine.encode()], absent=True)
    except Taken:
        there = (await client.fetch(NAME))[0].decode()
    else:
        return mine
    if not shared and there != mine:
        raise Unreachable("the bucket belongs to another data folder; give each server a prefix of its own")
    return there


def _kept_name(data: Path) -> str:
    """Return the name that a data folder keeps, which is made durable before any bucket gets it."""
    file, fresh = data / NAME, data / f"{NAME}.new"
    if not file.exists():
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        with fresh.open("w") as written:
            written.write(secrets.token_hex(16))
            written.flush()
            os.fsync(written.fileno())
        fresh.rename(file)
        sync_folder(data)
    return file.read_text()
