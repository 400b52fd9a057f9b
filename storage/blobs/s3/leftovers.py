"""What crashes leave in a bucket: tails, private objects and multipart uploads that no record needs. For the sweep."""

import re
from collections.abc import AsyncIterator
from math import isinf

from onward.protocol.model import ID_PATTERN, Place, UploadId
from onward.storage.base import Missing
from onward.storage.blobs.s3.client import S3Client
from onward.storage.blobs.s3.garbage import Garbage, remove_keys
from onward.storage.blobs.s3.spot import Spot, Tail, parse
from onward.storage.blobs.s3.writer import parts_of, tail_key, whole_key

NOBODY = UploadId("0" * 32)  # stands in for the upload of an interrupted copy, which its key does not name


class Leftovers:
    """Finds and removes what crashes have left."""

    def __init__(self, client: S3Client, garbage: Garbage) -> None:
        self._client, self._garbage = client, garbage

    async def strays(self, before: float) -> AsyncIterator[tuple[Place, UploadId | None]]:
        """Yield the unfinished objects and multipart uploads to which nothing was written since a time."""
        await self._garbage.flush()
        async for tail in self._client.listed("tails/"):
            id_, _, name = tail.name.removeprefix("tails/").partition(".")
            if tail.changed < before:
                yield Spot(id=UploadId(id_), tail=Tail(name, tail.size)).place(), UploadId(id_)
        async for whole in self._client.listed("partial/"):
            if whole.changed < before:
                yield Place(whole.name), UploadId(whole.name.removeprefix("partial/"))
        for folder in ("files", "partial"):
            async for key, multipart, begun in self._client.multiparts(f"{folder}/"):
                if begun < before and (isinf(before) or await self._last_part(key, multipart) < before):
                    yield _stray(folder, key.removeprefix(f"{folder}/"), multipart)

    async def _last_part(self, key: str, multipart: str) -> float:
        """Return the time at which the last part of a multipart upload was stored; 0 if there is none."""
        last = 0.0
        try:
            async for part in parts_of(self._client, key, multipart, 0):
                last = max(last, part.stored)
        except Missing:
            return last
        return last

    async def tidy(self, stray: Place, recorded: Place) -> bool:
        """Remove what a stray place names, unless the recorded place of the same upload needs it."""
        left, spot = parse(stray), parse(recorded)
        done = spot.published is not None
        if left.tail:
            if not done and spot.tail and spot.tail.name == left.tail.name:
                return False
            await remove_keys(self._client, [tail_key(left, left.tail.name)])
        elif left.multipart:
            if not done and spot.multipart == left.multipart:
                return False
            await abort(self._client, left)
        else:
            if not done:
                return False
            await remove_keys(self._client, [f"partial/{left.id}"])
        return True


def _stray(folder: str, path: str, multipart: str) -> tuple[Place, UploadId | None]:
    """Return the place of a multipart upload, and its upload; at the path of a layout, it is an interrupted copy."""
    if not re.fullmatch(ID_PATTERN, path):
        return Spot(id=NOBODY, multipart=multipart, copy=path).place(), None
    id_ = UploadId(path)
    return Spot(id=id_, multipart=multipart, direct=folder == "files").place(), id_


async def abort(client: S3Client, spot: Spot) -> None:
    """Abort a multipart upload, if there is one."""
    try:
        await client.call("abort_multipart_upload", whole_key(spot), UploadId=spot.multipart)
    except Missing:
        return
