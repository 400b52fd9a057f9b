"""A cache of what this process knows of uploads whose bytes it has received. It saves requests to S3.

When a body has ended well, the next one usually comes to the same process soon. Then nothing has to be asked of S3: it
is known which part number is free, and the tail is still in memory. The key is the place, which is in the record: if
another process has changed the upload meanwhile, its place is another one.
"""

import asyncio
from collections import OrderedDict

from msgspec import Struct
from msgspec.structs import replace

from onward.protocol.model import Place

MOST = 10_000  # uploads
STAYS = 10.0  # seconds that a tail is kept in memory


class CachedPlace(Struct, frozen=True, kw_only=True):
    """What is known of the upload at a place."""

    number: int  # the first part number that was never used
    tail: tuple[bytes, ...] = ()  # the blocks of the tail, if they are still in memory
    superseded: tuple[str, ...] = ()  # the names of tails that no record needs once the place is recorded


class PlaceCache:
    """A memory of places, with tails of `limit` bytes at most."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._known: OrderedDict[Place, CachedPlace] = OrderedDict()
        self._leaving: dict[Place, asyncio.TimerHandle] = {}

    def put(self, place: Place, known: CachedPlace) -> None:
        """Remember a place; the longest known ones are forgotten for it."""
        self.take(place)
        size = _size(known)
        while self._known and (len(self._known) >= MOST or self._size + size > self._limit):
            self.take(next(iter(self._known)))
        if size > self._limit:
            known = replace(known, tail=())
        self._known[place] = known
        self._size += _size(known)
        if known.tail:
            self._leaving[place] = asyncio.get_running_loop().call_later(STAYS, self._let_tail_go, place)

    def take(self, place: Place) -> CachedPlace | None:
        """Return what is known of a place, and forget it."""
        known = self._known.pop(place, None)
        if known is not None:
            self._size -= _size(known)
        if (leaving := self._leaving.pop(place, None)) is not None:
            leaving.cancel()
        return known

    def tail(self, place: Place) -> tuple[bytes, ...]:
        """Return the blocks of a tail if they are in memory, and remember them further."""
        known = self._known.get(place)
        return known.tail if known else ()

    def _let_tail_go(self, place: Place) -> None:
        known = self._known[place]
        del self._leaving[place]
        self._size -= _size(known)
        self._known[place] = replace(known, tail=())


def _size(known: CachedPlace) -> int:
    return sum(map(len, known.tail))
