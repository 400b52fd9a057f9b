"""Sends one upload to its end through whatever interrupts it.

After an interruption the transfer waits, longer each time, asks the server for its offset, and resumes there:

    create ──> send_until(stop) ──> stored.offset == stop
                  │  ▲
      Interrupted │  │ HEAD: where are you?
                  ▼  │
               wait (backoff)   ── too long without progress ──> GivenUp

`upload_file.py`, `upload_stream.py` and the command's batch make transfers; `Sent` and `verify` are the last step of
each upload.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from yarl import URL

from onward.client.connection import Connection, Created, Stored
from onward.client.errors import Interrupted, Mismatch, Refused, Setback, UploadError, UploadMissing
from onward.client.link import USUAL_PATH
from onward.client.meter import Meter, PartMeter
from onward.client.model import Options, Uploaded
from onward.client.request_body import RequestBody
from onward.client.retry import Backoff
from onward.client.urls import without_secrets

METHOD_NOT_ALLOWED = 405

T = TypeVar("T")


class Source(Protocol):
    """Where the bytes of an upload come from; any of them may be asked for again."""

    def blocks(self, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes [start, stop); raises UploadError."""


class Transfer:
    """One upload, or one part of an upload, on its way to the server."""

    def __init__(self, connection: Connection, meter: PartMeter, options: Options) -> None:
        self._connection, self._meter, self._options = connection, meter, options
        self._backoff = Backoff(options.retry_for)

    async def create(self, headers: Mapping[str, str]) -> Created:
        """Create an upload; raises Refused if the target takes no uploads, GivenUp."""
        return await self._create(lambda: self._connection.create(headers))

    async def create_whole(self, data: bytes, headers: Mapping[str, str]) -> Created:
        """Create an upload with all its bytes, by a key that is in the headers; raises Refused, GivenUp."""
        return await self._create(lambda: self._connection.create_whole(data, headers))

    async def _create(self, request: Callable[[], Awaitable[Created]]) -> Created:
        try:
            return await self.retry(request)
        except UploadMissing as missing:
            raise Refused(f"{missing}: {await self._advice()}") from None
        except Refused as refused:
            if refused.status != METHOD_NOT_ALLOWED:
                raise
            raise Refused(f"{refused}: {await self._advice()}", refused.status) from None

    async def _advice(self) -> str:
        """Say that the target takes no uploads, and which URL does if the usual one does."""
        usual = URL(self._connection.target).with_query(None) / USUAL_PATH
        try:
            found = await self._connection.takes_uploads(str(usual))
        except (Setback, UploadError):
            found = False
        return f"this URL takes no uploads{f'; did you mean {without_secrets(usual)}?' if found else ''}"

    async def require(self, extension: str, purpose: str) -> None:
        """Check that an extension of tus is offered; raises Refused. A server that won't say so may still offer it."""
        if not self._connection.protocol.has_extensions:
            return
        try:
            offered = await self.retry(self._connection.extensions)
        except (Refused, UploadMissing):
            return
        if extension not in offered:
            raise Refused(f"the server does not offer {extension}, which {purpose} needs")

    async def retry(self, request: Callable[[], Awaitable[T]]) -> T:
        """Repeat a request until it is answered; raises GivenUp."""
        while True:
            try:
                answer = await request()
            except Interrupted as fault:
                await self._wait(fault)
            else:
                self._backoff.progressed()
                return answer

    async def send_until(
        self,
        url: str,
        source: Source,
        stop: int,
        *,
        known: Stored | None,
        base: int = 0,
        length: int | None = None,
        headers: Mapping[str, str] | None = None,
        ends: bool = False,
    ) -> Stored:
        """Send until the server has stored the bytes up to `stop`; returns what it stated last.

        `known` is what the server has stated before, None to ask it; `base` is the position in the source of the
        upload's first byte; `length` is the length of the upload, if it is fixed; `headers` go with the request that
        ends at `stop`, and `ends` says that this request ends the upload. Raises UploadMissing, GivenUp, Refused, and
        what the source raises.
        """
        last_headers = dict(headers or {})
        furthest, stored = known.offset if known else 0, known
        while True:
            try:
                if stored is None:
                    stored = await self._connection.stored(url, length)
                    self._meter.confirm(base + stored.offset)
                    if stored.length is not None:
                        last_headers.pop("Upload-Length", None)  # some servers refuse a length that they have already
                if stored.offset > furthest:
                    furthest = stored.offset
                    self._backoff.progressed()
                if stored.offset >= stop and not (ends and stored.finished is False):
                    return stored
                offset, stored = stored.offset, None  # unknown as long as this request is under way
                end = self._end_of_request(offset, stop)
                blocks = source.blocks(base + offset, base + end)
                body = RequestBody(
                    blocks,
                    end - offset,
                    stall_after=self._options.stall_after,
                    pace=self._connection.pace,
                    on_sent=self._meter.add_sent,
                )
                is_last = end == stop
                more = last_headers if is_last else {}
                stored = await self._connection.append(url, offset, body, more, ends=ends and is_last)
                if not offset <= stored.offset <= end:
                    raise Refused(f"the server states offset {stored.offset} after bytes {offset} to {end}")
                self._meter.confirm(base + stored.offset)
                if stored.offset == offset < end:
                    raise Interrupted("the server accepted no bytes")
                if ends and stored.offset == stop and stored.finished is False:
                    raise Interrupted("the server has not finished the upload")
            except Interrupted as fault:
                await self._wait(fault)

    def _end_of_request(self, offset: int, stop: int) -> int:
        """Return where the request from `offset` ends: at a multiple of the chunk size, as some servers demand."""
        sizes = [size for size in (self._options.chunk_size, self._connection.most) if size]
        size = min(sizes, default=None)
        return min(stop, (offset // size + 1) * size) if size else stop

    async def _wait(self, fault: Interrupted) -> None:
        seconds = self._backoff.wait(fault)
        self._meter.report_trouble(str(fault), seconds)
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An upload that the server has whole."""

    url: str
    sha256: bytes | None  # as the server stated it
    resumed_from: int = 0  # how many bytes an earlier call had stored


def verify(sent: Sent, sha256: bytes, meter: Meter, size: int) -> Uploaded:
    """Compare the server's SHA-256 with ours; raises Mismatch."""
    if sent.sha256 not in (None, sha256):
        raise Mismatch(f"{sent.url} has other bytes: the server states another SHA-256 than {sha256.hex()}")
    return Uploaded(
        file_name=meter.file_name,
        url=sent.url,
        size=size,
        sha256=sha256.hex(),
        verified=sent.sha256 is not None,
        sent_bytes=meter.sent_bytes,
        resumed_from=sent.resumed_from,
    )
