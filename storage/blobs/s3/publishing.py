"""Making the parts and the tail of an upload one object, and publishing it.

    finish     parts + tail ──▶ one object under the key of the multipart upload: the final one, or the private one
    publish    the tail alone, or the object under the private key ──▶ a final key, once

Each step may be repeated, by this server or by another one, and the answer to it may be lost. So an object is only
created where none is (`If-None-Match: *`), and each one names its upload in its metadata: whoever finds a key taken
looks whether the object there is the one that was to be made.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple

from onward.protocol.model import UploadId
from onward.storage.base import About, Missing, Stale, Unreachable
from onward.storage.blobs.s3.client import S3Client
from onward.storage.blobs.s3.compose import compose
from onward.storage.blobs.s3.faults import Taken
from onward.storage.blobs.s3.object_headers import OWNER
from onward.storage.blobs.s3.spot import Part, Spot, chained
from onward.storage.blobs.s3.writer import parts_of, tail_key, whole_key
from onward.storage.failpoints import reach

LOOKS, LOOK_AGAIN = 4, 1.0  # how often, and after how many seconds, what seems lost is looked for


class Found(NamedTuple):
    """An object that is there."""

    size: int
    owner: str


async def look(client: S3Client, name: str) -> Found | None:
    """Return what is at a key, or None."""
    try:
        head = await client.call("head_object", name)
    except Missing:
        return None
    return Found(head["ContentLength"], head.get("Metadata", {}).get(OWNER, ""))


async def is_own(client: S3Client, name: str, id: UploadId, length: int) -> bool:
    """Return whether the object at a key is that of an upload; raises Missing if it is, and has fewer bytes."""
    found = await look(client, name)
    if found is None or found.owner != id:
        return False
    if found.size < length:
        raise Missing(name)
    return True


async def finish(client: S3Client, spot: Spot, length: int, holds: Callable[[], bool]) -> None:
    """Complete the multipart upload of a spot; may be repeated. Raises Missing if there are fewer bytes, and Stale.

    Another process, perhaps one that has died since, may just have asked S3 to complete it. Until S3 has done so, it
    may list only some of the parts, or none; so what seems lost is looked for again a little later.
    """
    if spot.size < length:
        raise Missing(spot.id)
    key = whole_key(spot)
    for left in reversed(range(LOOKS)):
        try:
            await _complete(client, spot, key, holds)
        except Taken as fault:
            if not await is_own(client, key, spot.id, length):
                raise Unreachable(f"{key} is an object that is not of this server") from fault
        except (Missing, _Changed) as fault:  # it may have been completed already, and this process does not know
            if not await is_own(client, key, spot.id, length):
                if left:
                    await asyncio.sleep(LOOK_AGAIN)
                    continue
                if isinstance(fault, Missing):
                    raise
                raise Unreachable(f"the parts of {spot.id} are not those that were recorded") from fault
        break
    reach("completed")


class _Changed(Exception):
    """S3 has other parts than those that were recorded."""


async def _complete(client: S3Client, spot: Spot, key: str, holds: Callable[[], bool]) -> None:
    parts = await _recorded(client, spot)
    if spot.tail:
        etag = await client.copy_part(tail_key(spot, spot.tail.name), key, spot.multipart, spot.number)
        parts.append({"PartNumber": spot.number, "ETag": etag})
    if not holds():
        raise Stale(spot.id)
    reach("completing")
    await client.call(
        "complete_multipart_upload",
        key,
        UploadId=spot.multipart,
        MultipartUpload={"Parts": parts},
        IfNoneMatch="*",
    )


async def _recorded(client: S3Client, spot: Spot) -> list[dict[str, object]]:
    """Return the recorded parts with their ETags; raises Missing if there is no multipart upload, and _Changed."""
    listed = parts_of(client, whole_key(spot), spot.multipart, 0)
    etags = {part.number: (part.size, part.etag) async for part in listed}
    check, parts = "", list[dict[str, object]]()
    for part in spot.parts():
        size, etag = etags.get(part.number, (-1, ""))
        check = chained(check, Part(part.number, size), etag)
        parts.append({"PartNumber": part.number, "ETag": etag})
    if check != spot.check:
        raise _Changed
    return parts


class Publication(NamedTuple):
    """A file that is to be published: exactly `length` bytes of a spot."""

    spot: Spot
    length: int
    holds: Callable[[], bool]  # whether the lease is still held
    check: Callable[[], None]  # raises what is to stop a long copy
    kept: Sequence[bytes]  # the blocks of the tail, if they are in memory
    about: About  # what the object says about the file

    def start(self) -> None:
        """Look a last time whether the object may appear now; raises Stale."""
        if not self.holds():
            raise Stale(self.spot.id)
        reach("publishing")


async def publish(client: S3Client, file: Publication, key: str) -> bool:
    """Publish a file under a key that is not that of its multipart upload.

    Returns False if another object has the key. Raises Missing, Stale, and what `check` raises.
    """
    try:
        if file.spot.multipart or (file.length and not file.spot.tail):
            await _publish_copy(client, file, key)
        else:
            await _publish_tail(client, file, key)
    except Taken:
        return await is_own(client, key, file.spot.id, file.length)
    reach("published")
    return True


async def _publish_tail(client: S3Client, file: Publication, key: str) -> None:
    spot, length, blocks = file.spot, file.length, file.kept
    if spot.size < length:
        raise Missing(spot.id)
    if length and spot.tail and not blocks:
        blocks = [block async for block in client.stream(tail_key(spot, spot.tail.name), 0, length)]
    blocks = _first(blocks, length)
    if sum(map(len, blocks)) < length:
        raise Missing(spot.id)
    file.start()
    await client.store(key, blocks, owner=spot.id, about=file.about, absent=True)


def _first(blocks: Sequence[bytes], length: int) -> list[bytes]:
    """Return the first bytes of some blocks."""
    first, left = [], length
    for block in blocks:
        first.append(block[:left])
        left -= len(first[-1])
    return first


async def _publish_copy(client: S3Client, file: Publication, key: str) -> None:
    spot = file.spot
    if spot.multipart:
        await finish(client, spot, file.length, file.holds)
    source = whole_key(spot) if spot.multipart else f"partial/{spot.id}"
    copying = compose(client, [(source, file.length)], key, spot.id, file.start, absent=True, about=file.about)
    async with aclosing(copying) as steps:
        async for _ in steps:
            file.check()
