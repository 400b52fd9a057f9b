"""Unfinished bytes in the local folder, finished files in a bucket.

    partial/ID                      bytes that arrive
      stage ──▶ record              partial/ID//TOKEN//PATH: synced, with the path that it shall have
      seal ──▶ record               files/PATH//ID: an object, which is proved to be there
      tidy                          the local file is removed

All places but the last kind are those of the local folder (places.py), and so is what is done with them. A file that
was published in the local folder, before there was a bucket, stays there.

Publishing may be repeated at any moment, by any server that has the lease: an object names its upload, and is looked
for at each path that it can have. One that is not the upload's own is never overwritten; the next path is tried then.
The local file stays until the record names the object.
"""

import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

from onward.protocol.model import ID_PATTERN, Place, UploadId
from onward.storage.base import (
    NOTHING_KNOWN,
    NOTHING_SAID,
    About,
    Ahead,
    BlobWriter,
    Block,
    Missing,
    Room,
    Stale,
    StorageError,
    Unreachable,
    is_staged,
)  # fmt: skip
from onward.storage.blobs.disk import DiskBlobs
from onward.storage.blobs.places import Parts, candidates, parts
from onward.storage.blobs.published.bucket import Bucket, Found, Source
from onward.storage.blobs.s3.faults import Taken
from onward.storage.failpoints import reach
from onward.storage.failure_log import shorten_ids
from onward.storage.running.threads import Threads

THREADS = 4
LEFT = 86400.0  # seconds after which a transfer to the bucket counts as abandoned
log = logging.getLogger("onward")


def object_of(place: Place) -> tuple[str, UploadId] | None:
    """Return the name of the object that a place stands for, and its upload; None for a place of the local folder."""
    taken = parts(place)
    if taken.path or not re.fullmatch(ID_PATTERN, taken.token):
        return None
    return taken.where.removeprefix("files/"), UploadId(taken.token)


class PublishedBlobs:
    """A local folder, and a bucket for what is finished."""

    short = None

    def __init__(self, local: DiskBlobs, bucket: Bucket) -> None:
        self._local, self._bucket = local, bucket
        self._threads = Threads(THREADS, "publish")
        self._staged: set[Place] = set()  # places that this process has staged and not tried to publish yet
        self._proved: set[Place] = set()  # objects that this process has published, and whose local files are there
        self.stride, self.rereads = local.stride, local.rereads
        self.create, self.join, self.joined_size, self.trim = local.create, local.join, local.joined_size, local.trim

    def open(
        self, place: Place, at: int, holds: Callable[[], bool] = lambda: True, ahead: Ahead = NOTHING_KNOWN
    ) -> AbstractAsyncContextManager[BlobWriter]:
        """Open a place in the local folder; raises Missing or Stale."""
        return self._local.open(place, at, holds, ahead)

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
        """Make a local file ready to be published; raises Missing or Stale."""
        staged = await self._local.stage(place, length, path, holds, acknowledged=acknowledged, check=check)
        if staged != place:
            self._staged.add(staged)
        return staged

    async def seal(
        self,
        place: Place,
        length: int,
        holds: Callable[[], bool] = lambda: True,
        *,
        acknowledged: bool = False,
        check: Callable[[], None] = lambda: None,
        about: About = NOTHING_SAID,
    ) -> Place:
        """Publish a staged file as an object, and prove that it is there; raises Missing or Stale."""
        if object_of(place):
            return place
        if not (is_staged(place) and parts(place).path):  # it was published in the local folder
            return await self._local.seal(place, length, holds, acknowledged=acknowledged, check=check)
        staged, first_try = parts(place), place in self._staged
        self._staged.discard(place)
        name = None if first_try else await self._published(staged, length)
        if name is None:
            name = await self._publish(place, staged, length, holds, check, about)
        reach("published")
        final = Parts(f"files/{name}", staged.id).place()
        self._proved.add(final)
        return final

    async def _published(self, staged: Parts, length: int | None) -> str | None:
        """Return the name under which a staged file is in the bucket already, or None."""
        for name in _names(staged):
            if _is_own(await self._bucket.look(name), staged.id, length):
                return name
        return None

    async def _publish(  # noqa: PLR0917
        self,
        place: Place,
        staged: Parts,
        length: int,
        holds: Callable[[], bool],
        check: Callable[[], None],
        about: About,
    ) -> str:
        """Put a staged file under the first of its names that is free, and return that."""
        for name in _names(staged):
            found = await self._bucket.look(name)
            if found is None:
                try:
                    async with self._local.file(place, length) as fd:
                        source = Source(staged.id, fd, length, about, self._threads, holds, check)
                        await self._bucket.put(name, source)
                except Taken:
                    log.debug("files/%s was taken meanwhile, perhaps by an attempt whose answer was lost", name)
                reach("put")
                found = await self._bucket.look(name)
            if found is None:
                raise Unreachable("the bucket does not have what was stored there")
            if _is_own(found, staged.id, length, about.sha256):
                return name
        raise Unreachable(f"the bucket has another object of the name {staged.id}")

    async def read(self, place: Place, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes [start, stop); raises Missing."""
        known = object_of(place)
        async with aclosing(
            self._local.read(place, start, stop) if known is None else self._bucket.stream(known[0], start, stop)
        ) as blocks:
            async for block in blocks:
                start += len(block)
                yield block
        if start < stop:
            raise Missing(f"{place} ends at {start}, before {stop}")

    @asynccontextmanager
    async def file(self, place: Place, length: int) -> AsyncIterator[int | None]:
        """Open a descriptor of a local file; there is none of an object. Raises Missing."""
        if object_of(place) is not None:
            await self._check(place, length)
            yield None
            return
        async with self._local.file(place, length) as fd:
            yield fd

    async def _check(self, place: Place, length: int = 0) -> None:
        """Check that an object is there, is the right one, and has at least `length` bytes; raises Missing."""
        known = object_of(place)
        found = None if known is None else await self._found(known[0])
        if known is None or found is None or found.owner != known[1] or found.size < length:
            raise Missing(f"{place} is not in the bucket any more")

    async def _found(self, name: str) -> Found | None:
        """Return what is at a name, or None if that is certain: not if it is the bucket that is missing."""
        if (found := await self._bucket.look(name)) is None:
            await self._bucket.find()
        return found

    async def link(self, place: Place, disposition: str, seconds: int) -> str | None:
        """Return a signed URL of an object."""
        known = object_of(place)
        return None if known is None else await self._bucket.link(known[0], disposition, seconds)

    async def scan(
        self, place: Place, length: int, take: Callable[[Block], None], *, fresh: bool = False
    ) -> AsyncGenerator[int, None]:
        """Call `take` with the first `length` bytes in a thread; raises Missing."""
        if object_of(place) is None:
            async with aclosing(self._local.scan(place, length, take, fresh=fresh)) as steps:
                async for at in steps:
                    yield at
            return
        at = 0
        async with aclosing(self.read(place, 0, length)) as blocks:
            async for block in blocks:
                await self._threads.call(take, block)
                at += len(block)
                yield at

    async def share(self, place: Place, equal: Place, length: int, check: Callable[[], None] = lambda: None) -> bool:
        """Share the blocks of local files; objects share nothing. Raises Missing if there is no such object."""
        outside = [each for each in (place, equal) if object_of(each)]
        if not outside:
            return await self._local.share(place, equal, length, check)
        for each in outside:
            await self._check(each, length)
        return False

    async def fence(self, place: Place, length: int, holds: Callable[[], bool]) -> Place:
        """Fence a local file. An object needs no fence: nobody can change it. Raises Missing or Stale."""
        if object_of(place) is None:
            return await self._local.fence(place, length, holds)
        if not holds():
            raise Stale(place)
        return place

    async def sync(self, place: Place) -> None:
        """Make a local file durable; raises Missing."""
        if object_of(place) is None:
            await self._local.sync(place)
        else:
            await self._check(place)

    async def remove(self, place: Place) -> None:
        """Remove the local file and the object of an upload."""
        self._staged.discard(place)
        self._proved.discard(place)
        known = object_of(place)
        if known is not None:
            await self._local.remove(Place(f"partial/{known[1]}"))
            if _is_own(await self._found(known[0]), known[1], None):
                await self._bucket.remove(known[0])
            await self._bucket.drop(known[1])
            return
        await self._local.remove(place)
        staged = parts(place)
        if staged.path:
            if (name := await self._published(staged, None)) is not None:
                await self._bucket.remove(name)
            await self._bucket.drop(staged.id)

    async def tidy(self, stray: Place, recorded: Place) -> bool:
        """Remove a local file whose object is recorded and proved to be there; returns whether it did."""
        if object_of(recorded) is None:
            return await self._local.tidy(stray, recorded)
        if recorded not in self._proved:
            try:
                await self._check(recorded)
            except Missing:
                log.warning("%s is kept: its object is not in the bucket", stray)
                return False
        self._proved.discard(recorded)
        reach("dropping")
        await self._local.remove(stray)
        return True

    async def strays(self, before: float) -> AsyncIterator[tuple[Place, UploadId | None]]:
        """Yield the unfinished local places; remove what abandoned transfers have left in the bucket."""
        try:
            await self._bucket.abandon(before - LEFT)
        except StorageError as fault:
            log.warning("abandoned transfers can't be looked for in the bucket: %s", shorten_ids(str(fault)))
        async for stray in self._local.strays(before):
            yield stray

    async def room(self) -> Room | None:
        """Return the free bytes of the local folder."""
        return await self._local.room()

    async def probe(self) -> None:
        """Try both; raises Full or Unreachable."""
        await self._local.probe()
        await self._bucket.probe()

    async def close(self) -> None:
        """End the threads, and close the connections."""
        self._threads.shutdown()
        await self._local.close()
        await self._bucket.close()


def _names(staged: Parts) -> Iterable[str]:
    """Return the names that the object of a staged file may have, in the order in which they are tried."""
    return (staged.id,) if staged.path == staged.id else candidates(staged.path, staged.id)


def _is_own(found: Found | None, id: UploadId, length: int | None, sha256: bytes = b"") -> bool:
    """Return whether an object is that of an upload; raises Unreachable if it is, and is not whole yet."""
    if found is None or found.owner != id:
        return False
    if (length is not None and found.size != length) or (sha256 and found.sha256 != sha256.hex()):
        raise Unreachable("an object in the bucket is not whole")
    return True
