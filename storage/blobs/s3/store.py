"""Bytes in a bucket of an object store, unfinished ones too; nothing is on the disk of the server.

    PREFIX/
      files/PATH        finished files
      tails/ID.NAME     the bytes of an unfinished upload after its last part (writer.py)
      partial/ID        a whole file that is not published yet (publishing.py, compose.py)
      records/ID        backups of records, if the state is shared (backups.py)
      store             the name of the store, so that two servers do not share it by mistake (backups.py)

and one multipart upload for each unfinished upload that has at least one part. Places are in spot.py.

An unfinished multipart upload can't be read. It is completed once the upload is whole: when it is published, or when
its bytes are read before that. The server reads unfinished uploads only once they are whole, except for the first
bytes, which are in the tail until there is a part.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from weakref import WeakValueDictionary

from msgspec.structs import replace

from onward.protocol.model import Place, UploadId
from onward.storage.base import NOTHING_KNOWN, NOTHING_SAID, About, Ahead, Block, Missing, Stale, Stride
from onward.storage.blobs.places import candidates
from onward.storage.blobs.s3.client import S3Client
from onward.storage.blobs.s3.compose import compose
from onward.storage.blobs.s3.garbage import Garbage, remove_keys, tails_of
from onward.storage.blobs.s3.leftovers import Leftovers, abort
from onward.storage.blobs.s3.memory import Memory
from onward.storage.blobs.s3.place_cache import PlaceCache
from onward.storage.blobs.s3.probe import Probe
from onward.storage.blobs.s3.publishing import Publication, finish, is_own, look, publish
from onward.storage.blobs.s3.settings import Settings
from onward.storage.blobs.s3.spot import Spot, Tail, parse
from onward.storage.blobs.s3.writer import PartWriter, tail_key, unused_number, whole_key
from onward.storage.running.threads import Threads

SECONDS = 0.25  # between two looks at what is durable; a watcher is promised a message every 250 ms
SCAN_THREADS = 2
REMEMBERED = 1000  # multipart uploads that this process has completed
KEPT_TAILS = 4  # tails of ended bodies may keep one part in this many of the memory for a while
log = logging.getLogger("onward")


class S3Blobs:
    """Bytes in a bucket."""

    rereads, short = False, None

    def __init__(self, client: S3Client, settings: Settings) -> None:
        self.stride = Stride(bytes=settings.part_size, seconds=SECONDS)
        self._client, self._part_size = client, settings.part_size
        kept = settings.memory // KEPT_TAILS
        self._memory, self._cache = Memory(settings.memory - kept), PlaceCache(kept)
        self._garbage = Garbage(client)
        self.probe = Probe(client).check
        leftovers = Leftovers(client, self._garbage)
        self.strays, self.tidy = leftovers.strays, leftovers.tidy
        self._finishing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._staged: set[Place] = set()  # places that this process has staged and not tried to publish yet
        self._threads = Threads(SCAN_THREADS, "s3-scan")

    async def create(self, id: UploadId) -> Place:
        """Return a place; nothing is stored there before the first byte."""
        return Place(f"partial/{id}")

    @asynccontextmanager
    async def open(
        self, place: Place, at: int, holds: Callable[[], bool] = lambda: True, ahead: Ahead = NOTHING_KNOWN
    ) -> AsyncIterator[PartWriter]:
        """Open a place that has at least `at` bytes; nothing is asked of S3 yet. Raises Missing or Stale."""
        spot, known = self._cut(parse(place), at), self._cache.take(place)
        if not holds():
            raise Stale(place)
        if known is not None and known.superseded:
            self._garbage.add(*(tail_key(spot, name) for name in known.superseded))
            known = replace(known, superseded=())
        if spot.place() != place:
            known = None
        writer = PartWriter(
            self._client,
            self._memory,
            spot,
            least=self._part_size,
            direct=ahead.named,
            length=ahead.length,
            about=ahead.about,
            known=known,
            holds=holds,
        )
        try:
            yield writer
        finally:
            await writer.close(self._cache)

    def _cut(self, spot: Spot, at: int) -> Spot:
        """Return a spot without the bytes after a position, which must not be inside of the parts. Raises Missing."""
        if at == spot.size:
            return spot
        if not at:
            return Spot(id=spot.id)
        if at > spot.size or at < spot.in_parts or spot.tail is None:
            raise Missing(f"{spot.id} has {spot.size} bytes, not {at}")
        left = at - spot.in_parts
        return replace(spot, tail=Tail(spot.tail.name, left) if left else None)

    async def read(self, place: Place, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes [start, stop); raises Missing."""
        if start >= stop:
            return
        at = start
        async with aclosing(self._client.stream(await self._readable(place, stop), start, stop)) as blocks:
            async for block in blocks:
                at += len(block)
                yield block
        if at < stop:
            raise Missing(f"{place} ends at {at}, before {stop}")

    async def _readable(self, place: Place, length: int) -> str:
        """Return the key of an object that has the first bytes of a place; raises Missing."""
        spot = parse(place)
        if spot.published is None:
            if spot.multipart:
                await self._finish(spot, spot.size)
                return whole_key(spot)
            if spot.tail and length <= spot.tail.size:
                key = tail_key(spot, spot.tail.name)
                if await look(self._client, key):
                    return key
            elif not spot.is_named and await is_own(self._client, f"partial/{spot.id}", spot.id, length):
                return f"partial/{spot.id}"
        if (name := await self._published(spot, length)) is None:
            await self._client.find_bucket()
            raise Missing(place)
        return f"files/{name}"

    async def _published(self, spot: Spot, length: int) -> str | None:
        """Return the path at which an upload is published, or None."""
        if spot.published is not None:
            names = [spot.published]
        else:
            names = list(candidates(spot.path, spot.id)) if spot.path else [str(spot.id)]
        for name in names:
            if await is_own(self._client, f"files/{name}", spot.id, length):
                return name
        return None

    async def _finish(self, spot: Spot, length: int, holds: Callable[[], bool] = lambda: True) -> None:
        """Complete a multipart upload, unless this process has done so already."""
        lock = self._finishing.setdefault(spot.multipart, asyncio.Lock())
        async with lock:
            if spot.multipart in self._finished and length <= spot.size:
                return
            await finish(self._client, spot, length, holds)
        self._finished[spot.multipart] = None
        if len(self._finished) > REMEMBERED:
            self._finished.popitem(last=False)

    @asynccontextmanager
    async def file(self, place: Place, length: int) -> AsyncIterator[None]:
        """Return None: there is no descriptor. Raises Missing."""
        spot = parse(place)
        if length or spot.path is not None or spot.published is not None:
            await self._readable(place, length)
        yield None

    async def link(self, place: Place, disposition: str, seconds: int) -> str:
        """Return a signed URL of a published file."""
        return await self._client.link(f"files/{parse(place).published}", disposition, seconds)

    async def scan(
        self,
        place: Place,
        length: int,
        take: Callable[[Block], None],
        *,
        fresh: bool = False,  # noqa: ARG002
    ) -> AsyncGenerator[int, None]:
        """Call `take` with the first `length` bytes; raises Missing."""
        at = 0
        async with aclosing(self.read(place, 0, length)) as blocks:
            async for block in blocks:
                await self._threads.call(take, block)
                at += len(block)
                yield at

    async def join(self, place: Place, parts: Sequence[tuple[Place, int]]) -> AsyncGenerator[int, None]:
        """Make a private object of the first bytes of each part; raises Missing."""
        id_ = parse(place).id
        pieces = [(await self._readable(part, length), length) for part, length in parts if length]
        if pieces:
            async with aclosing(compose(self._client, pieces, f"partial/{id_}", id_)) as steps:
                async for at in steps:
                    yield at

    async def joined_size(self, lengths: Sequence[int]) -> int:
        """Return the sum: an object is made of copies."""
        return sum(lengths)

    async def stage(
        self,
        place: Place,
        length: int,
        path: str,
        holds: Callable[[], bool] = lambda: True,
        *,
        acknowledged: bool = False,  # noqa: ARG002
        check: Callable[[], None] = lambda: None,  # noqa: ARG002
    ) -> Place:
        """Return a place with the path; the bytes stay where they are. Raises Missing or Stale."""
        spot = parse(place)
        if spot.path is not None or spot.published is not None:
            return place
        if not holds():
            raise Stale(place)
        if await self._published(spot, length) is not None:
            return replace(spot, published=str(spot.id)).place()
        if spot.size < length:
            if spot.is_named:
                raise Missing(place)
            await self._readable(place, length)
        staged = replace(spot, path=path).place()
        if (known := self._cache.take(place)) is not None:
            self._cache.put(staged, known)
        self._staged.add(staged)
        return staged

    async def seal(
        self,
        place: Place,
        length: int,
        holds: Callable[[], bool] = lambda: True,
        *,
        acknowledged: bool = False,  # noqa: ARG002
        check: Callable[[], None] = lambda: None,
        about: About = NOTHING_SAID,
    ) -> Place:
        """Publish exactly `length` bytes; raises Missing or Stale."""
        spot = parse(place)
        if spot.published is not None:
            return place
        if spot.path is None and spot.direct:
            await self._finish(spot, length, holds)
            name = str(spot.id)
        else:
            name = await self._publish(spot, length, holds, check, about)
        self._cache.take(place)
        self._garbage.add_all_of(spot.id)
        if spot.direct and name != spot.id:
            await remove_keys(self._client, [whole_key(spot)])  # now: no sweep finds it among the finished files
        return replace(spot, path=None, published=name).place()

    async def _publish(
        self, spot: Spot, length: int, holds: Callable[[], bool], check: Callable[[], None], about: About
    ) -> str:
        """Publish a place at the first of its paths that is free, or find it published; returns that path."""
        place = spot.place()
        first_try = spot.path is None or place in self._staged
        self._staged.discard(place)
        if not holds():
            raise Stale(place)
        if not first_try and (name := await self._published(spot, length)) is not None:
            return name
        try:
            for name in candidates(spot.path, spot.id) if spot.path else (str(spot.id),):
                file = Publication(spot, length, holds, check, self._cache.tail(place), about)
                if await publish(self._client, file, f"files/{name}"):
                    return name
        except Missing:
            if (published := await self._published(spot, length)) is None:
                raise
            return published
        raise Missing(f"files/{spot.id} is an object that is not of this server")

    async def share(
        self,
        place: Place,
        equal: Place,
        length: int,
        check: Callable[[], None] = lambda: None,  # noqa: ARG002
    ) -> bool:
        """Return False: each file is an object of its own. Raises Missing if one of them is too short."""
        for each in (place, equal):
            await self._readable(each, length)
        return False

    async def trim(self, place: Place, at: int, holds: Callable[[], bool]) -> int:
        """Return 0: a place names no bytes beyond those that its record has. Raises Missing or Stale."""
        self._cut(parse(place), at)
        if not holds():
            raise Stale(place)
        return 0

    async def fence(self, place: Place, length: int, holds: Callable[[], bool]) -> Place:
        """Skip the part numbers that another node may still use. Nothing else that it writes can get into a record."""
        spot = parse(place)
        if spot.published is None and spot.is_named and spot.size < length:
            raise Missing(place)
        if not holds():
            raise Stale(place)
        if not spot.multipart or spot.published is not None or spot.multipart in self._finished:
            return place
        try:
            number = await unused_number(self._client, spot)
        except Missing:  # it is completed already, so nobody can add to it
            return place
        return replace(spot, number=number).place()

    async def room(self) -> None:
        """Return None: a bucket has no limit that is known."""

    async def sync(self, place: Place) -> None:
        """Check that the bytes are there; what S3 has taken is durable. Raises Missing."""
        spot = parse(place)
        if not spot.multipart or spot.published is not None:
            await self._readable(place, 0)

    async def remove(self, place: Place) -> None:
        """Remove all objects of an upload, and its multipart upload."""
        spot = parse(place)
        self._cache.take(place)
        if spot.copy is not None:
            await abort(self._client, spot)
            return
        if spot.multipart:
            await abort(self._client, spot)
        names = [f"partial/{spot.id}", *await tails_of(self._client, spot.id)]
        if (name := await self._published(spot, 0)) is not None:
            names.append(f"files/{name}")
        if spot.direct and name != spot.id and await is_own(self._client, whole_key(spot), spot.id, 0):
            names.append(whole_key(spot))
        await remove_keys(self._client, names)

    async def close(self) -> None:
        """Remove the objects that wait to be removed, and close the connections."""
        await self._garbage.close()
        self._threads.shutdown()
        await self._client.close()
