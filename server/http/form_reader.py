"""Takes a form apart while it arrives: its parts one after the other, and the bytes of each as a `Body`.

    RequestBody.block ── PushMultipartParser ── events ──┬─ part      the head of the next part
      (idle and rate bounds, cuts)                       ├─ text      a text field, which is small
                                                         └─ PartBody  a file, as server/uploads/receive.py reads it

The parser is that of the library `multipart`, which reads nothing itself: it is given a block, and returns what is in
it. So a form is read by the same rules as every other body, and no more of it than a block is in memory.
`server/http/forms.py` is the caller.
"""

import asyncio
import re
from collections import deque

from msgspec import Struct
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from onward.protocol.disposition import parse_parameters
from onward.protocol.errors import BadRequest, Refusal, TooLarge, Unavailable
from onward.protocol.forms import MOST_FIELD, MOST_FIELDS, MOST_FILES, parse_extended
from onward.protocol.model import Upload
from onward.server.http.transport.body import RequestBody, pour_blocks
from onward.server.uploads.body_writer import BLOCK, BodyWriter

MOST_PARTS = 2 * (MOST_FILES + MOST_FIELDS)  # file inputs that were left empty are parts too
MOST_HEADER = 4096  # bytes of one header of a part
MOST_HEADERS = 8  # of a part
STEP = 0.25  # seconds after which the bounds of a body, and the stop of the server, are looked at
AS_IT_IS = frozenset({"", "7bit", "8bit", "binary"})  # the encodings of a part that change no byte
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", re.ASCII)
_BROKEN = re.compile(r"[\0\r\n]")


class Part(Struct, frozen=True, kw_only=True, gc=False):
    """The head of one part of a form."""

    name: str
    # None for a text field.
    file_name: str | None
    media_type: str


class FormReader:
    """Reads a form of a Content-Type. Raises BadRequest if that names no boundary.

    After a `fault` nothing more can be read: the form is malformed, or its body was cut.
    """

    def __init__(self, body: RequestBody, content_type: str, stopping: asyncio.Event) -> None:
        boundary = parse_options_header(content_type)[1].get("boundary", "")
        if not _BOUNDARY.fullmatch(boundary):
            raise BadRequest("The Content-Type must name the boundary of the form, of 1 to 70 characters.")
        self._body, self._stopping = body, stopping
        self._parser = PushMultipartParser(
            boundary, max_header_size=MOST_HEADER, max_header_count=MOST_HEADERS, max_segment_count=MOST_PARTS
        )
        self._opening = f"--{boundary}".encode()
        self._first: bytes | None = b""  # what has arrived of the first boundary; None once it was seen
        self._events: deque[MultipartSegment | bytes | None] = deque()
        self._ended = False
        self.fault: Refusal | None = None

    @property
    def has_more(self) -> bool:
        """Return whether more of the form can be read, or is read already."""
        return bool(self._events) or not (self._ended or self.fault)

    async def part(self) -> Part | None:
        """Return the head of the next part, or None at the end of the form. Raises what ends the form early."""
        while not self._events:
            if self.fault is not None:
                raise self.fault
            if self._ended:
                return None
            await self._fill(BLOCK)
        segment = self._events.popleft()
        assert isinstance(segment, MultipartSegment)  # noqa: S101
        return _part_of(segment)

    async def text(self) -> bytes:
        """Return the bytes of a part that is a text field. Raises TooLarge, and what ends the form early."""
        parts, size = [], 0
        while (data := await self.data(BLOCK)) is not None:
            parts.append(data)
            size += len(data)
            if size > MOST_FIELD:
                raise TooLarge(f"A text field has {MOST_FIELD // 1024} KiB at most.")
        return b"".join(parts)

    async def is_empty(self) -> bool:
        """Return whether a part has no bytes; then it is read. Raises what ends the form early."""
        while not self._events:
            if self.fault is not None:
                raise self.fault
            await self._fill(BLOCK)
        if self._events[0] is None:
            self._events.popleft()
            return True
        return False

    async def data(self, size: int) -> bytes | None:
        """Return the next bytes of a part, or None at its end. Raises what ends the form early."""
        while True:
            block = await self.next(size, asyncio.get_running_loop().time() + STEP)
            if block != b"":
                return block
            if self.fault is not None and not self._events:
                raise self.fault

    async def next(self, size: int, until: float) -> bytes | None:
        """Return about `size` bytes of a part, or None at its end; nothing (b"") if nothing comes by the time `until`.

        Nothing is returned either once the form has ended early; see `fault`.
        """
        if not self._events:
            await self._fill(size, until)
        if not self._events:
            return b""
        event = self._events.popleft()
        assert not isinstance(event, MultipartSegment)  # noqa: S101
        if event is not None and len(event) > 2 * size:
            self._events.appendleft(event[size:])
            return event[:size]
        return event

    def cut(self, why: Refusal) -> None:
        """Read nothing more, for the reason `why`; what has arrived still counts."""
        self._body.cut(why)

    async def _fill(self, size: int, until: float | None = None) -> None:
        """Read a block and take it apart; `fault` says afterwards if the form has ended early."""
        if self._ended or self.fault is not None:
            return
        if self._stopping.is_set():
            self._body.cut(Unavailable("The server is stopping."))
        await self._body.begin()
        block = await self._body.block(size, asyncio.get_running_loop().time() + STEP if until is None else until)
        try:
            if block and (block := self._opened(block)):
                self._events.extend(self._parser.parse(block))
            if self._body.over:
                self._ended = True
                if (cut_by := self._body.cut_by) is None:
                    self._parser.close()
                self.fault = cut_by
        except MultipartError as fault:
            self.fault = BadRequest(f"The form can't be read: {re.split('[:(]', fault.args[0])[0].strip()}.")

    def _opened(self, block: bytes) -> bytes:
        """Hold the first bytes back until they show the first boundary. Raises MultipartError if they are another."""
        if self._first is None:
            return block
        self._first += block
        if not self._first.startswith(self._opening[: len(self._first)]):
            raise MultipartError("it does not begin with its boundary")
        if len(self._first) < len(self._opening):
            return b""
        block, self._first = self._first, None
        return block


def _part_of(segment: MultipartSegment) -> Part:
    """Return the head of a part. Raises BadRequest."""
    if any(_BROKEN.search(value) for _, value in segment.headerlist):
        raise BadRequest("The head of a part has a line break or a NUL in a header.")
    coding = segment.header("Content-Transfer-Encoding", "").strip().lower()
    if coding not in AS_IT_IS:
        raise BadRequest("A Content-Transfer-Encoding is not supported.")
    file_name = segment.filename
    extended = parse_parameters(segment.header("Content-Disposition", "")).get("filename*")
    if extended is not None:
        file_name = parse_extended(extended.strip('"'))
    return Part(name=segment.name, file_name=file_name, media_type=segment.header("Content-Type", ""))


class PartBody:
    """The bytes of one file in a form, as a `Body`. It has ended once the boundary behind it was read."""

    def __init__(self, form: FormReader) -> None:
        self._form, self._ended = form, False

    @property
    def over(self) -> bool:
        """Return whether nothing more will arrive."""
        return self._ended or not self._form.has_more

    @property
    def cut_by(self) -> Refusal | None:
        """Return the reason why the form ended before the file did, or None."""
        return None if self._ended else self._form.fault

    def cut(self, why: Refusal) -> None:
        """End the whole form, for the reason `why`; bytes that have arrived still count."""
        if not self._ended:
            self._form.cut(why)

    async def pour(self, body_writer: BodyWriter, most: int, until: float) -> None:
        """Move about `most` bytes into the writer; fewer at the loop's time `until`, or when the file is over."""
        await pour_blocks(self, body_writer, most, until)

    async def block(self, size: int, until: float) -> bytes:
        """Collect about `size` bytes; fewer at the loop's time `until`, or when the file is over."""
        block = await self._form.next(size, until)
        self._ended = block is None
        return block or b""

    async def tell(self, upload: Upload) -> None:
        """Tell nothing: the reply comes at the end of the form."""
