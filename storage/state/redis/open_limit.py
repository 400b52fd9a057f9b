"""The limit of unfinished uploads (`--max-open`) among all servers: reservations, in a slot of their own.

The unfinished uploads are spread over the buckets, so no script can count them and insert one more in one step. Instead
an upload gets a reservation before it is inserted, and gives it back when it is finished. Without a limit none of this
is done.

    insert    RESERVE (refused if there are `most`) -> INSERT, which notes the reservation in the record
    save      SAVE of the end answers ENDED -> the reservation is given back
    forget    the same, if the upload was unfinished

A reservation bears the id of its upload, so each step may be repeated. What goes wrong in between is put right by a
count, at most once a minute, when there is an insert: unfinished uploads without a reservation get one (the limit is
new, or Redis has lost some), and reservations that are a minute old and have no unfinished upload are removed (a server
crashed, or Redis did not answer). The key `counted`, which lives for a minute, says that the count was done.

The limit is not exceeded even if a server was suspended between the two steps of an insert: before a count removes a
reservation, it bars the upload (BAR), and the late INSERT is refused. Only a Redis that loses reservations, for example
in a failover, lets more uploads in, until the next count.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, cast

from onward.protocol.model import UploadId
from onward.storage.base import Crowded, StorageError
from onward.storage.state.redis import scripts
from onward.storage.state.redis.commands import Commands
from onward.storage.state.redis.keys import BUCKETS, COUNTED, RESERVED, bucket_of, keys_of

COUNT_AGAIN = 60  # seconds from one count of the unfinished uploads to the next
AGE = 60.0  # seconds until a reservation without an upload may be removed: no insert takes as long
BARRED_FOR = 86_400_000  # milliseconds for which an insert whose reservation was removed is refused
PAGE = 1000  # ids that are read at a time


class OpenLimit:
    """Reservations for unfinished uploads; see the top of this file. Every method raises Full or Unreachable."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._counting = asyncio.Lock()  # so that only one insert of this process counts, while the others wait for it

    async def reserve(self, id: UploadId, most: int) -> None:
        """Reserve room for one more unfinished upload; raises Crowded if there are `most` already."""
        try:
            while (answer := await self._try(id, most)) == b"UNCOUNTED":
                async with self._counting:
                    if await self._try(id, most) == b"UNCOUNTED":
                        await self._count()
        except asyncio.CancelledError:
            await asyncio.shield(self.give_back(id))
            raise
        if answer == b"CROWDED":
            raise Crowded

    async def give_back(self, id: UploadId) -> None:
        """Give a reservation back; if Redis does not answer, the next count does it."""
        with suppress(StorageError):
            await self._remove(id)

    async def _try(self, id: UploadId, most: int) -> bytes:
        return cast("bytes", await self._commands.run(scripts.RESERVE, [RESERVED, COUNTED], id, most))

    async def _count(self) -> None:
        """Make the reservations agree with the unfinished uploads."""
        client = self._commands.client
        now = float(await self._commands.run(scripts.TIME, [RESERVED]))
        for bucket in BUCKETS:
            async for page in self._pages("sscan", bucket.open):
                await self._commands.call(client.zadd(RESERVED, dict.fromkeys(page, 0), nx=True))
        async for page in self._pages("zscan", RESERVED):
            await self._remove_finished([UploadId(id_.decode()) for id_, at in page if at < now - AGE])
        await self._commands.call(client.set(COUNTED, 1, ex=COUNT_AGAIN))

    async def _remove_finished(self, ids: list[UploadId]) -> None:
        """Remove those of the reservations that have no unfinished upload."""

        def ask(pipeline: Any, id: UploadId) -> None:
            pipeline.sismember(bucket_of(id).open, id)

        for id_, unfinished in zip(ids, await self._commands.of_each(ids, ask), strict=True):
            if not unfinished and not await self._commands.run(scripts.BAR, keys_of(id_), id_, BARRED_FOR):
                await self._remove(id_)

    async def _remove(self, id: UploadId) -> None:
        await self._commands.call(self._commands.client.zrem(RESERVED, id))

    async def _pages(self, scan: str, key: str) -> AsyncIterator[list[Any]]:
        """Yield what a set or a sorted set has, page by page; something may come twice."""
        cursor = None
        while cursor != 0:
            cursor, page = await self._commands.call(getattr(self._commands.client, scan)(key, cursor or 0, count=PAGE))
            if page:
                yield list(page)
