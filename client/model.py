"""The nouns of the client: what it is told, what it tells, and what comes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from onward.protocol.quantities import read_number, read_size, read_time

RETRY_FOR = 3600.0
STALL_AFTER = 30.0
_READERS: Mapping[str, Callable[[object], object]] = {
    "chunk_size": lambda size: None if size is None else read_size(size, least=1),
    "parallel": partial(read_number, least=1),
    "retry_for": read_time,
    "stall_after": partial(read_time, positive=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to send; times in seconds, sizes in bytes. `state` is the folder of resume files, None for the user's own."""

    chunk_size: int | None = None
    parallel: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_for: float = RETRY_FOR
    stall_after: float = STALL_AFTER
    state: Path | None = None

    def __post_init__(self) -> None:
        """Read sizes and times as the command line does (`"8M"`, `"1h"`); raises ValueError."""
        for name, read in _READERS.items():
            try:
                object.__setattr__(self, name, read(getattr(self, name)))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an upload is: `sent` went into the connection, `confirmed` was acknowledged; both may go back.

    `url` is where it can be watched, None as long as there is no such place. `trouble` is what interrupts it at the
    moment, `retry_in` are the seconds until the next try.
    """

    file_name: str
    url: str | None
    size: int | None
    sent: int
    confirmed: int
    trouble: str | None
    retry_in: float | None = None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """A file that the server has whole; `verified` where it has computed the same SHA-256 (in hex here)."""

    file_name: str
    url: str
    size: int
    sha256: str
    verified: bool
    sent_bytes: int
    resumed_from: int


class Failure(msgspec.Struct, frozen=True):
    """Why an upload failed, as a progress message tells it."""

    code: str
    title: str


class Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A progress message of the server: the whole state of an upload."""

    upload_id: str
    seq: int
    status: str
    file_name: str | None
    file_size: int | None
    uploaded_bytes: int
    progress: float | None
    completed: bool
    bytes_per_second: float
    eta_seconds: float | None
    sha256: str | None
    error: Failure | None
    last_updated: str

    @property
    def final(self) -> bool:
        """Tell whether nothing comes after it."""
        return self.status in FINAL


FINAL = frozenset({"completed", "failed", "terminated", "expired"})
