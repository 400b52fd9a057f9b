"""Parts become one file: copied inside the store, and hashed beside it, from the first to the last."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

from onward.protocol.model import Place, Upload
from onward.server.uploads.hashing import RunningHash
from onward.storage.base import Blobs
from onward.storage.running.uncancellable import disregard, uncancellable


async def hash_stored(
    blobs: Blobs, place: Place, length: int, running: RunningHash, check: Callable[[], None], *, fresh: bool
) -> None:
    """Add the first bytes of a place to a hash; `check` may raise, between steps. Raises Missing for lost bytes."""
    if not length:  # there may be no file yet
        return
    async with aclosing(blobs.scan(place, length, running.take, fresh=fresh)) as steps:
        async for _ in steps:
            check()


async def join(
    blobs: Blobs, place: Place, parts: Sequence[Upload], running: RunningHash, check: Callable[[], None]
) -> None:
    """Fill a place with whole parts; `check` may raise, between steps. Raises Missing for lost bytes."""

    async def hash_them() -> None:
        for part in parts:
            await hash_stored(blobs, part.place, part.offset, running, check, fresh=False)

    hashing = asyncio.create_task(hash_them())
    try:
        async with aclosing(blobs.join(place, [(part.place, part.offset) for part in parts])) as steps:
            async for _ in steps:
                check()
        while not hashing.done():
            await asyncio.wait({hashing}, timeout=0.1)
            check()
        await hashing
    finally:
        hashing.cancel()
        hashing.add_done_callback(disregard)
        await uncancellable(asyncio.wait({hashing}))
