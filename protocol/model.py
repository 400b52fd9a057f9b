"""The nouns: an upload and its status, what clients ask for, the limits, the licence to receive bytes.

Values only, frozen; what may happen to them stands in rules.py.
"""

from enum import StrEnum
from typing import NewType

from msgspec import Struct

UploadId = NewType("UploadId", str)
Place = NewType("Place", str)
ID_PATTERN = "[0-9a-f]{32}"


class Status(StrEnum):
    """Where an upload stands, as recorded and as told to watchers."""

    PENDING = "pending"
    UPLOADING = "uploading"
    PAUSED = "paused"
    VERIFYING = "verifying"
    COMPLETED = "completed"
    FAILED = "failed"
    TERMINATED = "terminated"
    EXPIRED = "expired"

    @property
    def final(self) -> bool:
        """Tell whether nothing but removal can follow."""
        return self in FINAL


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.TERMINATED, Status.EXPIRED})


class Role(StrEnum):
    """What an upload is in a concatenation (tus 1.0.0)."""

    SINGLE = "single"
    PARTIAL = "partial"
    FINAL = "final"


class Failure(StrEnum):
    """Why an upload failed."""

    CHECKSUM_MISMATCH = "checksum-mismatch"
    LOST = "lost"
    PART_GONE = "part-gone"
    TOO_LARGE = "too-large"


class Checksum(Struct, frozen=True, kw_only=True, gc=False):
    """What the bytes of one body sum up to."""

    algorithm: str
    digest: bytes


class Concat(Struct, frozen=True, kw_only=True, gc=False):
    """What an upload is in a concatenation: `told` as the client wrote it, `parts` of a final one in order."""

    role: Role
    told: str
    parts: tuple[UploadId, ...] = ()


class Upload(Struct, frozen=True, kw_only=True, gc=False):
    """The record of one upload; times in seconds since the epoch, sizes in bytes.

    `offset` is what a client may resume from: bytes that were durable before it was recorded. `version` grows by one
    with every save: it is the token of compare-and-set and the `seq` of watchers. `epoch` is that of the lease under
    which it was saved. `due` is when the sweep has to look at it.
    `volatile` names the run of the machine whose memory may hold what no disk has yet; None where all is durable.
    `hashing` is the state of the running SHA-256 at `offset`, None where nobody has it.
    The offset of a final upload is 0 until all its parts are complete; then it is the sum of them.
    """

    id: UploadId
    place: Place
    status: Status
    length: int | None
    offset: int
    metadata: str | None
    promised: bytes | None
    sha256: bytes | None = None
    failure: Failure | None = None
    rate: float = 0.0
    created: float
    updated: float
    expires: float | None = None
    due: float | None = None
    version: int = 1
    epoch: int = 0
    concat: Concat | None = None
    volatile: str | None = None
    hashing: bytes | None = None

    @property
    def role(self) -> Role:
        """Give what it is in a concatenation."""
        return self.concat.role if self.concat else Role.SINGLE


class Limits(Struct, frozen=True, kw_only=True, gc=False):
    """What the operator allows; sizes in bytes, times in seconds, None for no limit.

    `max_open` is how many uploads may be unfinished, `reserve` the room that stays free where bytes are stored.
    """

    max_size: int | None = None
    expire_after: float | None = 7 * 86400.0
    forget_after: float = 7 * 86400.0
    quiet_after: float = 2.5
    release_after: float = 300.0
    without: frozenset[str] = frozenset()
    max_open: int | None = None
    reserve: int = 0


class CreateRequest(Struct, frozen=True, kw_only=True, gc=False):
    """A wish to create an upload; `length` is None when it is to be told later."""

    length: int | None
    metadata: str | None
    promised: bytes | None
    body_size: int | None
    has_body: bool
    checksum: Checksum | None = None
    concat: Concat | None = None


class AppendRequest(Struct, frozen=True, kw_only=True, gc=False):
    """A wish to append a body; `body_size` is None for a body of unknown size."""

    offset: int
    length: int | None
    promised: bytes | None
    body_size: int | None
    checksum: Checksum | None = None


class Licence(Struct, frozen=True, kw_only=True, gc=False):
    """The permission to store the bytes [start, end) of an upload, given before any byte is read.

    With a `checksum` the body is kept whole, once it has proved right, or not at all.
    """

    start: int
    end: int
    checksum: Checksum | None = None
