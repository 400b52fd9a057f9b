"""One object made of others, inside the store: for concatenation, and to publish what has a private key.

Large pieces are copied by S3 itself. A part of a multipart upload has at least 5 MiB, except for the last one; so what
is smaller is read, and sent together with the beginning of the next piece.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress

from onward.protocol.model import UploadId
from onward.storage.base import NOTHING_SAID, About, Missing, StorageError
from onward.storage.blobs.s3.client import S3Client
from onward.storage.blobs.s3.object_headers import object_params
from onward.storage.blobs.s3.settings import LEAST_PART, MIB

COPIED = 1024 * MIB  # bytes that one request copies; S3 itself takes 5 GiB at most
Piece = tuple[str, int]  # the key of an object, and how many of its first bytes are wanted


async def compose(
    client: S3Client,
    pieces: Sequence[Piece],
    key: str,
    owner: UploadId,
    last_look: Callable[[], None] = lambda: None,
    *,
    absent: bool = False,
    about: About = NOTHING_SAID,
) -> AsyncGenerator[int, None]:
    """Make an object of pieces, in their order; yields the positions reached. `last_look` may stop it at the end.

    With `absent` only if there is no object at the key, otherwise raises Taken. Raises Missing if a piece is too short.
    """
    pieces = [piece for piece in pieces if piece[1]]
    begun = await client.call("create_multipart_upload", key, **object_params(owner, about))
    composing = _Composing(client, key, begun["UploadId"])
    try:
        for number, (source, length) in enumerate(pieces, 1):
            at = 0
            while at < length:
                at += await composing.add(source, at, length, last=number == len(pieces))
                yield composing.reached
        last_look()
        condition = {"IfNoneMatch": "*"} if absent else {}
        await client.call(
            "complete_multipart_upload",
            key,
            UploadId=composing.multipart,
            MultipartUpload={"Parts": composing.parts},
            **condition,
        )
    except BaseException:
        with suppress(StorageError):
            await client.call("abort_multipart_upload", key, UploadId=composing.multipart)
        raise


class _Composing:
    """The parts of an object that is being made."""

    def __init__(self, client: S3Client, key: str, multipart: str) -> None:
        self.multipart = multipart
        self.parts: list[dict[str, object]] = []
        self.reached = 0
        self._client, self._key = client, key
        self._small = bytearray()  # bytes that fill no part yet

    async def add(self, source: str, at: int, length: int, *, last: bool) -> int:
        """Add some bytes of a piece from a position on, and return how many; `last` says that no piece follows."""
        left = length - at
        if not self._small and left >= LEAST_PART:
            count = left if left <= COPIED + LEAST_PART else COPIED  # what is left then fills a part as well
            where = None if not at and await self._copies_all(source, length, at) else f"bytes={at}-{at + count - 1}"
            number = len(self.parts) + 1
            self._note(await self._client.copy_part(source, self._key, self.multipart, number, where))
        else:
            count = min(left, LEAST_PART - len(self._small))
            await self._read(source, at, at + count)
            if len(self._small) == LEAST_PART or (last and count == left):
                await self._send_small()
        self.reached += count
        return count

    async def _copies_all(self, source: str, length: int, at: int) -> bool:
        """Return whether an object is to be copied as a whole; raises Missing if it is too short."""
        size: int = (await self._client.call("head_object", source))["ContentLength"]
        if size < length:
            raise Missing(source)
        return size == length and length - at <= COPIED

    async def _read(self, source: str, start: int, stop: int) -> None:
        before = len(self._small)
        async with aclosing(self._client.stream(source, start, stop)) as blocks:
            async for block in blocks:
                self._small += block
        if len(self._small) - before < stop - start:
            raise Missing(source)

    async def _send_small(self) -> None:
        block = bytes(self._small)
        number = len(self.parts) + 1
        self._note(await self._client.store_part(self._key, self.multipart, number, block))
        self._small.clear()

    def _note(self, etag: str) -> None:
        self.parts.append({"PartNumber": len(self.parts) + 1, "ETag": etag})
