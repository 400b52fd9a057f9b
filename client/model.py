"""The public values of the client: its options, what it reports, and what it returns.

Applications import `Options`, `Progress`, `Uploaded` and `Message` from `onward`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from onward.client.origin_headers import with_token
from onward.client.protocols import IETF, NAMES, TUS
from onward.client.trust import read_cacert
from onward.protocol.quantities import read_number, read_size, read_time

RETRY_FOR = 3600.0  # seconds
STALL_AFTER = 30.0  # seconds
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
FINAL_STATUSES = frozenset({"completed", "failed", "terminated", "expired"})


def _read_headers(headers: object) -> object:
    """Read a mapping of names to values; raises ValueError."""
    if not isinstance(headers, Mapping) or not all(isinstance(text, str) for pair in headers.items() for text in pair):
        raise ValueError("it is not a mapping of names to values, both strings")  # not shown: it may be a credential
    return headers


def read_protocol(name: object) -> str:
    """Read the name of a protocol; raises ValueError."""
    if not isinstance(name, str) or name.lower() not in NAMES:
        raise ValueError(f"{name!r} is not one of {', '.join(NAMES)}")
    return name.lower()


def read_token(token: object) -> str:
    """Read a token as RFC 6750, 2.1, has them; raises ValueError, which does not show it."""
    if not isinstance(token, str) or not TOKEN.fullmatch(token):
        raise ValueError("it is not a token; one has only letters, digits and -._~+/=")
    return token


_READERS: Mapping[str, Callable[[object], object]] = {
    "cacert": lambda path: None if path is None else read_cacert(path),
    "chunk_size": lambda size: None if size is None else read_size(size, least=1),
    "limit_rate": lambda rate: None if rate is None else read_size(rate, least=1),
    "headers": _read_headers,
    "protocol": read_protocol,
    "parallel": partial(read_number, least=1),
    "retry_for": read_time,
    "stall_after": partial(read_time, positive=True),
    "token": lambda token: None if token is None else read_token(token),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to send; times in seconds, sizes in bytes."""

    protocol: str = TUS  # `tus` for tus 1.0.0, `ietf` for the IETF draft
    chunk_size: int | None = None  # the maximum size of one request; None for the whole rest
    parallel: int = 1  # how many uploads send one file, which the server then concatenates
    headers: Mapping[str, str] = field(default_factory=dict)  # sent to the origin of the target, and to no other
    token: str | None = field(default=None, repr=False)  # sent like the headers, as `Authorization: Bearer`
    limit_rate: int | None = None  # bytes a second, of all that is sent together; None for no limit
    cacert: Path | None = None  # a file of certificates to trust instead of those of the system
    insecure: bool = False  # accept every certificate
    retry_for: float = RETRY_FOR  # give up after so long without progress
    stall_after: float = STALL_AFTER  # drop a connection that takes no byte for so long
    state: Path | None = None  # the folder of resume files; None for the user's own

    def __post_init__(self) -> None:
        """Read sizes and times as the command line does (`"8M"`, `"1h"`); raises ValueError."""
        for name, read in _READERS.items():
            try:
                object.__setattr__(self, name, read(getattr(self, name)))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        if self.parallel > 1 and self.protocol == IETF:
            raise ValueError("parallel: the IETF draft can't join uploads; use the protocol tus")

    @property
    def own_headers(self) -> Mapping[str, str]:
        """Return the headers with the token, which replaces an Authorization among them."""
        return with_token(self.headers, self.token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an upload is."""

    file_name: str
    url: str | None  # where it can be watched; None as long as there is no such URL
    size: int | None  # None for a stream
    sent: int  # bytes that went into the connection; may go back after an interruption
    confirmed: int  # bytes that the server has acknowledged; may go back if the server has lost the upload
    trouble: str | None  # what interrupts the upload at the moment
    retry_in: float | None = None  # seconds until the next try


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """A file that the server has whole."""

    file_name: str
    url: str
    size: int
    sha256: str  # as computed here, in hex
    verified: bool  # whether the server has computed the same SHA-256
    sent_bytes: int  # by this call, repeated bytes included
    resumed_from: int  # how many bytes an earlier call had stored


class MessageError(msgspec.Struct, frozen=True):
    """Why an upload failed, as a progress message states it."""

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
    error: MessageError | None
    last_updated: str
    received_bytes: int = 0  # that have arrived, stored or not; 0 from a server that does not tell it

    @property
    def order(self) -> tuple[int, int]:
        """Return what orders the messages of an upload: of the same `seq`, that with more bytes is newer."""
        return self.seq, self.received_bytes

    @property
    def final(self) -> bool:
        """Return whether no message comes after this one."""
        return self.status in FINAL_STATUSES
