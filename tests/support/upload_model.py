"""The protocol in sixty lines: what a client may believe of its uploads, and what must answer it."""

import random
from dataclasses import dataclass, field
from typing import Literal

from onward.protocol.errors import (
    BadRequest,
    BodyMismatch,
    Failed,
    Gone,
    OffsetMismatch,
    TooLarge,
    Unavailable,
    Unchecked,
)
from onward.protocol.model import Limits, UploadId
from onward.storage.base import Missing

LIMITS = Limits(max_size=50_000, expire_after=1000.0, forget_after=3000.0, quiet_after=5.0, release_after=100.0)
EXPIRE, FORGET, RELEASE = 1000.0, 3000.0, 100.0
HOLD = 20.0  # seconds for which a scanner that is down asks
Answer = type[Exception] | None


@dataclass(slots=True, kw_only=True)
class Patch:
    """What is asked of an upload; `rest` for all that it lacks, `point` for where the process dies meanwhile.

    `draft` is for an append of the IETF draft: whether it leaves the upload open, or is the last one.
    """

    size: int = 0
    shift: int = 0
    length: int | None = None
    rest: bool = False
    known: bool = True
    cut: bool = False
    check: str = "none"
    point: str | None = None
    draft: Literal["", "open", "last"] = ""


@dataclass(slots=True)
class Scanner:
    """A check of all files: up or down."""

    down: bool = False


@dataclass(slots=True, kw_only=True)
class Model:
    """One upload; `parts` are those of a final one."""

    id: UploadId
    seed: int
    length: int | None
    wrong: bool = False
    partial: bool = False
    infected: bool = False
    scanner: Scanner | None = None
    held_until: float | None = None
    parts: list["Model"] = field(default_factory=list)
    offset: int = 0
    status: Literal["open", "completed", "gone", "forgotten"] = "open"
    expires: float | None = 0.0
    ended: float = 0.0

    def source(self, start: int, stop: int) -> bytes:
        """Give the bytes [start, stop) that this upload is to have."""
        return random.Random(self.seed).randbytes(50_100)[start:stop]

    def whole(self) -> bytes:
        """Give all of its bytes."""
        return b"".join(part.whole() for part in self.parts) if self.parts else self.source(0, self.offset)

    def refusal(self, now: float) -> Answer:
        """Give what answers any request about it, if it is no more."""
        if self.status == "forgotten":
            return Missing
        return Gone if self.status == "gone" or self.is_expired(now) else None

    def is_expired(self, now: float) -> bool:
        """Tell whether its time is over."""
        return self.status in ("open", "completed") and self.expires is not None and self.expires <= now

    @property
    def filled(self) -> bool:
        """Tell whether all bytes are there, and the draft has left the upload open."""
        return self.status == "open" and self.held_until is None and not self.parts and self.offset == self.length

    def judged(self, offset: int, size: int | None, length: int | None, now: float, draft: str = "") -> Answer:
        """Give what refuses a PATCH before its body is read."""
        if refusal := self.refusal(now):
            return refusal
        if offset != self.offset:
            return OffsetMismatch
        if length is not None and (length < offset or self.length not in (None, length)):
            return BadRequest
        known = length if self.length is None else self.length
        end = LIMITS.max_size if known is None else known
        assert end is not None
        if size is not None and size > end - offset:
            return self.exceeded(known, now, draft)
        return BadRequest if draft == "last" and size is not None and known not in (None, offset + size) else None

    def exceeded(self, length: int | None, now: float, draft: str) -> Answer:
        """Get more bytes than there is room for: in the draft that is the end of an upload of known length."""
        if draft and length is not None and self.status == "open":
            self.end(now)
        return TooLarge

    def patched(
        self,
        count: int,
        length: int | None,
        now: float,
        *,
        cut: bool,
        check: str,
        draft: str = "",
        size: int | None = None,
    ) -> Answer:
        """Take a body that was let in, and give what answers it; `size` is the one that it was announced with."""
        declared = length if self.length is None else self.length
        if draft == "last" and size is not None and declared is None:
            declared = self.offset + size
        if count > (50_000 if declared is None else declared) - self.offset:
            return self.exceeded(declared, now, draft)
        if check != "none" and cut:
            return Unavailable
        if check == "wrong":
            return BodyMismatch
        if self.status == "completed":
            return None
        self.offset, self.length, self.expires = self.offset + count, declared, now + EXPIRE
        by_its_end = draft == "last" and size is None
        if by_its_end and not cut and self.length is None:
            self.length = self.offset
        if self.offset == self.length and not (draft and size is None and cut):
            return self.finished(now)
        return BadRequest if by_its_end and not cut else Unavailable if cut else None

    def end(self, now: float) -> None:
        """Be no more."""
        self.status, self.ended = "gone", now

    def finished(self, now: float) -> Answer:
        """Be judged at the last byte, and once more if a scanner was down then."""
        scanned = self.scanner is not None and not self.partial and not self.wrong
        if scanned and self.scanner and self.scanner.down:
            self.expires = now + EXPIRE if self.held_until is None else self.expires
            self.held_until = now + HOLD
            return Unchecked
        self.status, self.held_until = "completed", None
        bad = self.wrong or (scanned and self.infected)
        if bad:
            self.end(now)
        self.expires = now + EXPIRE if self.partial else None
        for part in self.parts if not bad else ():
            part.expires = min(part.expires or now, now + RELEASE)
        return Failed if bad else None

    def advance(self, now: float) -> Answer:
        """Bring a final upload as far as its parts allow."""
        if self.status != "open" or self.is_expired(now):
            return None
        if self.held_until is not None:
            return Unchecked
        if any(part.refusal(now) for part in self.parts):
            self.end(now)
        elif all(part.status == "completed" for part in self.parts):
            self.offset = self.length = sum(part.offset for part in self.parts)
            return self.finished(now)
        return None

    def swept(self, now: float) -> None:
        """Be looked at by the sweep, because it is due."""
        if self.is_expired(now):
            self.end(now)
        elif self.held_until is not None:
            self.finished(now)
        elif self.status == "gone":
            self.status = "forgotten" if self.ended + FORGET <= now else "gone"
        elif self.parts:
            self.advance(now)
