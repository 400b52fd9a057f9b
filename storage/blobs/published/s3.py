"""Finished files in a bucket of S3, sent by the client of `--blobs s3://`.

    up to a part    one PutObject
    larger          a multipart upload, part after part; aborted if it can't be completed

Each request carries the MD5 of its bytes, which S3 compares, and the one that makes the object appear says
`If-None-Match: *`. What a crash leaves is a multipart upload, which the sweep aborts after a day.
"""

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress

from onward.protocol.model import UploadId
from onward.storage.base import Missing, StorageError, Unreachable
from onward.storage.blobs.published.bucket import OWNER, SHA256, Found, Source
from onward.storage.blobs.s3.client import S3Client
from onward.storage.blobs.s3.faults import Taken
from onward.storage.blobs.s3.garbage import remove_keys
from onward.storage.blobs.s3.probe import Probe
from onward.storage.blobs.s3.settings import Settings
from onward.storage.running.uncancellable import uncancellable

MOST_PARTS = 9000


def _md5(block: bytes) -> str:
    return b64encode(hashlib.md5(block, usedforsecurity=False).digest()).decode()


@contextmanager
def _not_of_the_file() -> Iterator[None]:
    """Turn Missing into Unreachable: it is the bucket that lacks something, and not the local file."""
    try:
        yield
    except Missing as fault:
        raise Unreachable(f"object storage: {fault}") from fault


class S3Bucket:
    """A bucket of S3."""

    def __init__(self, client: S3Client, settings: Settings) -> None:
        self._client, self._part_size = client, settings.part_size
        self._room = asyncio.Semaphore(max(settings.memory // settings.part_size, 1))
        self.find, self.probe = client.find_bucket, Probe(client).check
        self.close, self.link = client.close, client.link

    async def look(self, name: str) -> Found | None:
        """Return what is at a name, or None."""
        try:
            head = await self._client.call("head_object", name)
        except Missing:
            return None
        told = head.get("Metadata", {})
        return Found(head["ContentLength"], told.get(OWNER, ""), told.get(SHA256, ""))

    async def put(self, name: str, source: Source) -> None:
        """Make an object of a file, unless there is one already; raises Taken."""
        async with self._room:
            if source.length <= self._part_size:
                await self._put_at_once(name, source)
            else:
                await self._put_in_parts(name, source)

    async def _put_at_once(self, name: str, source: Source) -> None:
        block = await source.block(source.length)
        source.last_look()
        headers = {f"x-amz-meta-{key}": value for key, value in source.metadata.items()} | {
            "Content-Type": source.content_type,
            "Content-Disposition": source.disposition,
            "If-None-Match": "*",
        }
        with _not_of_the_file():
            await self._client.send(
                "put_object",
                name,
                block,
                headers | {"Content-MD5": _md5(block)},
                ContentMD5=_md5(block),
                ContentType=source.content_type,
                ContentDisposition=source.disposition,
                IfNoneMatch="*",
                Metadata=source.metadata,
            )

    async def _put_in_parts(self, name: str, source: Source) -> None:
        with _not_of_the_file():
            begun = await self._client.call(
                "create_multipart_upload",
                name,
                ContentType=source.content_type,
                ContentDisposition=source.disposition,
                Metadata=source.metadata,
            )
        multipart: str = begun["UploadId"]
        try:
            parts = await self._send(name, multipart, source)
            source.last_look()
        except BaseException:
            await uncancellable(self._abort(name, multipart))
            raise
        try:
            await self._client.call(
                "complete_multipart_upload",
                name,
                UploadId=multipart,
                MultipartUpload={"Parts": parts},
                IfNoneMatch="*",
            )
        except Missing as fault:  # the answer to an earlier attempt was lost
            raise Taken(name) from fault
        except Taken:
            await self._abort(name, multipart)
            raise

    async def _send(self, name: str, multipart: str, source: Source) -> list[dict[str, object]]:
        size, left = max(self._part_size, -(-source.length // MOST_PARTS)), source.length
        parts = list[dict[str, object]]()
        while left:
            block = await source.block(size)
            left -= len(block)
            md5, number = await asyncio.to_thread(_md5, block), len(parts) + 1
            with _not_of_the_file():
                etag = await self._client.send(
                    "upload_part",
                    name,
                    block,
                    {"Content-MD5": md5},
                    ContentMD5=md5,
                    UploadId=multipart,
                    PartNumber=number,
                )
            parts.append({"PartNumber": number, "ETag": etag})
        return parts

    async def _abort(self, name: str, multipart: str) -> None:
        with suppress(StorageError):
            await self._client.call("abort_multipart_upload", name, UploadId=multipart)

    async def stream(self, name: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes [start, stop) of an object."""
        async with aclosing(self._client.stream(name, start, stop)) as blocks:
            async for block in blocks:
                yield block

    async def remove(self, name: str) -> None:
        """Remove an object."""
        await remove_keys(self._client, [name])

    async def drop(self, id: UploadId) -> None:
        """Do nothing: bytes are sent under their final name."""

    async def abandon(self, before: float) -> None:
        """Abort the multipart uploads that began before a time."""
        async for name, multipart, began in self._client.multiparts(""):
            if began < before:
                await self._abort(name, multipart)
