"""A stream of unknown length: what the server has not confirmed is kept in memory, one chunk and the next."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing

from onward.client.answers import MISMATCH
from onward.client.beginning import create, describe, require
from onward.client.connection import connected
from onward.client.errors import Gone, Mismatch, Refused
from onward.client.model import OnProgress, Options, Uploaded
from onward.client.progress import Meter
from onward.client.result import Sent, judged
from onward.client.retry import Reach
from onward.client.transfer import Sender
from onward.protocol.headers import build_repr_digest

CHUNK = 8 * 2**20


class Spool:
    """Bytes of a stream that can still be asked for again, the first of them at `start`."""

    def __init__(self, start: int, data: bytes) -> None:
        self.start, self._data = start, data

    @property
    def stop(self) -> int:
        """Give the place after the last byte."""
        return self.start + len(self._data)

    async def blocks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Give the bytes [start, stop); raises Refused for those that the server has confirmed before."""
        if start < self.start:
            raise Refused("the server takes back bytes that it had confirmed, and a stream can't be read again")
        yield self._data[start - self.start : stop - self.start]


async def upload_stream(
    stream: AsyncIterable[bytes],
    url: str,
    *,
    name: str = "stream",
    on_progress: OnProgress | None = None,
    options: Options | None = None,
) -> Uploaded:
    """Upload a stream to a tus server under a name; raises UploadError. It can't be resumed by another call."""
    options = options or Options()
    meter, sha256 = Meter(name, None, on_progress), hashlib.sha256()
    async with connected(url, options, Reach()) as line:
        sender = Sender(line, meter.track(), options)
        place, offset, told = "", 0, None
        async with aclosing(_chunks(stream, options.chunk_size or CHUNK)) as chunks:
            async for data, last in chunks:
                await asyncio.to_thread(sha256.update, data)
                spool = Spool(offset, data)
                length = {"Upload-Length": str(spool.stop)} if last else {}
                if not place:
                    place = await _begin(sender, name, length)
                    meter.at(place)
                    length = {}
                promise = {"Repr-Digest": build_repr_digest(sha256.digest())} if last else {}
                known = offset if data else None  # an empty one is complete, and its SHA-256 only told when asked for
                try:
                    stored = await sender.fill(place, spool, spool.stop, known=known, headers=length | promise)
                except Gone as gone:
                    raise Refused(f"{gone}, and a stream can't be read again") from None
                except Refused as refused:
                    if refused.status == MISMATCH:
                        raise Mismatch(f"{refused}: its bytes are not those that were sent") from None
                    raise
                if stored.offset > spool.stop:
                    raise Refused(f"the server tells offset {stored.offset} after {spool.stop} bytes were sent")
                offset, told = spool.stop, stored.sha256
    return judged(Sent(url=place, sha256=told), sha256.digest(), meter, offset)


async def _begin(sender: Sender, name: str, length: dict[str, str]) -> str:
    """Create the upload, its length deferred where it is not known yet."""
    if not length:
        await require(sender, "creation-defer-length", "a stream")
    return (await create(sender, (length or {"Upload-Defer-Length": "1"}) | describe(name.encode()))).url


async def _chunks(stream: AsyncIterable[bytes], size: int) -> AsyncGenerator[tuple[bytes, bool], None]:
    """Give chunks of one size, each with whether it is the last; only that one may be smaller, or empty."""
    waiting = bytearray()
    async for block in stream:
        waiting += block
        while len(waiting) > size:
            yield bytes(waiting[:size]), False
            del waiting[:size]
    yield bytes(waiting), True
