"""Uploads a stream of unknown length, chunk by chunk.

A stream can't be read twice, so the chunk that the server has not confirmed yet is kept in memory. The command
`onward upload -` and applications call `upload_stream`.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import aclosing

from onward.client.answers import MISMATCH
from onward.client.connection import Stored, connected
from onward.client.errors import Mismatch, Refused, UploadMissing
from onward.client.label import Label, read_label
from onward.client.link import opened_link
from onward.client.meter import Meter
from onward.client.model import OnProgress, Options, Uploaded
from onward.client.protocols import Protocol
from onward.client.retry import Reach
from onward.client.transfer import Sent, Transfer, verify
from onward.protocol.headers import build_repr_digest

CHUNK = 8 * 2**20  # bytes, unless the options say otherwise


class _Chunk:
    """The bytes of a stream that can still be sent again; the first of them is at position `start`."""

    def __init__(self, start: int, data: bytes) -> None:
        self.start, self._data = start, data

    @property
    def stop(self) -> int:
        """Return the position after the last byte."""
        return self.start + len(self._data)

    async def blocks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes [start, stop); raises Refused for bytes that the server had confirmed before."""
        if start < self.start:
            raise Refused("the server takes back bytes that it had confirmed, and a stream can't be read again")
        yield self._data[start - self.start : stop - self.start]


async def upload_stream(
    stream: AsyncIterable[bytes],
    url: str,
    *,
    name: str = "stream",
    metadata: Mapping[str, str] | None = None,
    on_progress: OnProgress | None = None,
    options: Options | None = None,
) -> Uploaded:
    """Upload a stream to a tus server under a name; raises UploadError. It can't be resumed by another call."""
    url, options = opened_link(url, options or Options())
    label = read_label(name, metadata, options.protocol)
    meter, sha256 = Meter(name, None, on_progress), hashlib.sha256()
    async with connected(url, options, Reach()) as connection:
        transfer, protocol = Transfer(connection, meter.add_part(), options), connection.protocol
        place, offset, stated_sha256 = "", 0, None
        async with aclosing(_chunks(stream, options.chunk_size or CHUNK)) as chunks:
            async for data, is_last in chunks:
                await asyncio.to_thread(sha256.update, data)
                chunk = _Chunk(offset, data)
                length = protocol.end(chunk.stop) if is_last else {}
                if not place:
                    place = await _create(transfer, protocol, label, chunk.stop if is_last else None)
                    meter.set_url(place)
                    length = {}
                promise = {"Repr-Digest": build_repr_digest(sha256.digest())} if is_last else {}
                known = Stored(offset) if data else None  # an empty upload states its SHA-256 only when asked
                try:
                    stored = await transfer.send_until(
                        place, chunk, chunk.stop, known=known, headers=length | promise, ends=is_last
                    )
                except UploadMissing as missing:
                    raise Refused(f"{missing}, and a stream can't be read again") from None
                except Refused as refused:
                    if refused.status == MISMATCH:
                        raise Mismatch(f"{refused}: its bytes are not those that were sent") from None
                    raise
                if stored.offset > chunk.stop:
                    raise Refused(f"the server states offset {stored.offset} after {chunk.stop} bytes were sent")
                offset, stated_sha256 = chunk.stop, stored.sha256
    return verify(Sent(url=place, sha256=stated_sha256), sha256.digest(), meter, offset)


async def _create(transfer: Transfer, protocol: Protocol, label: Label, length: int | None) -> str:
    """Create the upload; its length is stated later unless the first chunk is the last."""
    if length is None:
        await transfer.require("creation-defer-length", "a stream")
    headers = protocol.create(length) | label.headers(protocol, "")
    return (await transfer.create(headers)).url


async def _chunks(stream: AsyncIterable[bytes], size: int) -> AsyncGenerator[tuple[bytes, bool], None]:
    """Yield chunks of one size, each with whether it is the last; only the last one may be smaller, or empty."""
    waiting = bytearray()
    async for block in stream:
        waiting += block
        while len(waiting) > size:
            yield bytes(waiting[:size]), False
            del waiting[:size]
    yield bytes(waiting), True
