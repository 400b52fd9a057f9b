"""The values that the whole project speaks of: an upload and its status, requests, limits, and the licence.

They are frozen, and know no rules: which status may follow which is in lifecycle.py, and what happens to an upload is
decided in decisions.py. Dialects make requests, the storage keeps uploads, and the server passes them around.
"""

from enum import StrEnum
from typing import NewType

from msgspec import Struct
from msgspec.structs import replace

UploadId = NewType("UploadId", str)
Place = NewType("Place", str)
STAGED = 2  # parts behind the `//` in the place of a file that is about to be published
PUBLISHED = "files"  # the folder of finished files
ID_PATTERN = "[0-9a-f]{32}"


class Status(StrEnum):
    """Where an upload stands, as it is recorded and as watchers see it."""

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
        """Return whether nothing but removal can follow."""
        return self in FINAL


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.TERMINATED, Status.EXPIRED})


class Role(StrEnum):
    """What an upload is in a concatenation (tus 1.0.0)."""

    SINGLE = "single"
    PARTIAL = "partial"
    FINAL = "final"


class Failure(Struct, frozen=True, kw_only=True, gc=False):
    """Why an upload failed. The constants below are the project's own reasons; a check brings reasons of its own."""

    # A few words in lower case, joined by hyphens: for programs, and for the metrics.
    code: str
    # The status of the reply to the request in which the upload failed. All later requests are answered 410.
    status: int
    # A sentence without a full stop, the same for all uploads that fail for this reason.
    title: str
    # What is to be said about this upload alone; may be empty.
    detail: str = ""


CHECKSUM_MISMATCH = Failure(code="checksum-mismatch", status=460, title="The SHA-256 is not the promised one")
LOST = Failure(code="lost", status=410, title="Stored bytes were lost")
PART_GONE = Failure(code="part-gone", status=410, title="A partial upload of it is gone")
EXCEEDED = Failure(code="length-exceeded", status=400, title="More bytes were sent than the upload has")
TOO_LARGE = Failure(code="too-large", status=413, title="The upload would become too large")


class Checksum(Struct, frozen=True, kw_only=True, gc=False):
    """The announced checksum of the bytes of one body."""

    # A name from the table in checksums.py.
    algorithm: str
    digest: bytes


class Concat(Struct, frozen=True, kw_only=True, gc=False):
    """What an upload is in a concatenation."""

    role: Role
    # The header as the client wrote it; HEAD returns it unchanged.
    told: str
    # The parts of a final upload, in order.
    parts: tuple[UploadId, ...] = ()


class CreationKey(Struct, frozen=True, kw_only=True, gc=False):
    """The key under which a creation may be repeated, as it is remembered (creation_keys.py)."""

    # The hash of the client's key and of its owner.
    hash: str
    # The hash of what the client asked for.
    request: str


class Upload(Struct, frozen=True, kw_only=True, gc=False):
    """The record of one upload. Times are in seconds since the epoch, sizes in bytes."""

    id: UploadId
    # Where the bytes are in the blob store. That of a published file is `files/`, its path, and perhaps `//` and what
    # the store needs to know its own file again; that of one that is about to be published may have two such parts.
    place: Place
    status: Status
    # None until the client states it.
    length: int | None
    # Where a client may resume: all bytes before it were stored before it was recorded, and are durable, except where
    # `volatile` says otherwise. The offset of a final upload is 0 until all its parts are complete; then it is the sum
    # of their lengths.
    offset: int
    # Upload-Metadata as the client wrote it.
    metadata: str | None
    # The SHA-256 that the client promised for the whole file.
    promised: bytes | None
    # The SHA-256 of the stored bytes; known once the upload is completed, is held by a check, or has failed by it.
    sha256: bytes | None = None
    # Why the upload failed; None unless the status is `failed`.
    failure: Failure | None = None
    # The smoothed rate, in bytes per second.
    rate: float = 0.0
    created: float
    # The time of the last change of this record.
    updated: float
    # When the upload expires if nothing more happens; None for never.
    expires: float | None = None
    # When the sweep has to look at the upload; None for never.
    due: float | None = None
    # Grows by one with every save: the token of compare-and-set, and the `seq` of watchers.
    version: int = 1
    # The number of the lease under which the record was saved.
    epoch: int = 0
    # None for a single upload.
    concat: Concat | None = None
    # The run of the machine (its boot id) whose memory may hold acknowledged bytes that no disk has yet; None if all
    # of them are durable.
    volatile: str | None = None
    # A check has asked to be called again, not before this time; None if no check holds the upload.
    held_until: float | None = None
    # The names of the checks that a whole file has to pass: a server that lacks one of them does not publish it.
    checks: tuple[str, ...] = ()
    # The media type that a check has recognised in the bytes, once the upload is completed; None if none was asked.
    content_type: str | None = None
    # Where the public finds the published file; None if the operator names no such place.
    url: str | None = None
    # An earlier upload of the same owner with the same bytes, if duplicates are looked for and one was known when this
    # upload was completed. It may have been removed since.
    duplicate_of: UploadId | None = None
    # Who the upload belongs to; None if nobody said so.
    owner: str | None = None
    # How long after its last change this upload expires, in seconds; None for what the limits of the server say.
    expire_after: float | None = None
    # The largest size that the application behind `--ask` allowed at the creation; None if it named none.
    max_size: int | None = None
    # The key that the client gave to the creation, so that it may be repeated; None if it gave none.
    creation_key: CreationKey | None = None
    # Whether the upload is made by one request that can't be resumed (PUT, a form): unfinished, it expires soon.
    in_one_request: bool = False
    # The state of the running SHA-256 at `offset`; None if it isn't known, and the stored bytes must be hashed again.
    hashing: bytes | None = None

    @property
    def path(self) -> str | None:
        """Return the path of the published file below the folder of finished files; None if nothing is published."""
        where, *known = self.place.split("//")
        folder, _, path = where.partition("/")
        return path if folder == PUBLISHED and len(known) < STAGED else None

    @property
    def role(self) -> Role:
        """Return what the upload is in a concatenation."""
        return self.concat.role if self.concat else Role.SINGLE


class Limits(Struct, frozen=True, kw_only=True, gc=False):
    """What the operator allows. Sizes are in bytes, times in seconds; None means no limit."""

    # The largest size of one upload.
    max_size: int | None = None
    # An unfinished or partial upload expires this long after its last change.
    expire_after: float | None = 7 * 86400.0
    # The record of an upload that failed, was terminated or has expired is kept this long, so that requests for it are
    # answered with the reason.
    forget_after: float = 7 * 86400.0
    # An upload is paused after this long without a request.
    quiet_after: float = 2.5
    # A published file expires this long after it was completed; None for never.
    keep_completed: float | None = None
    # The bytes of a failed upload, and the parts of a completed final upload, are kept this long.
    release_after: float = 300.0
    # The extensions that are switched off.
    without: frozenset[str] = frozenset()
    # The largest number of unfinished uploads.
    max_open: int | None = None
    # The room that stays free where the bytes are stored.
    reserve: int = 0
    # The largest body of one request.
    max_request: int | None = None

    def at_most(self, size: int | None) -> "Limits":
        """Return the same limits for uploads of `size` bytes at most, and never more than before."""
        if size is None or (self.max_size is not None and self.max_size <= size):
            return self
        return replace(self, max_size=size)


class CreateRequest(Struct, frozen=True, kw_only=True, gc=False):
    """A request to create an upload, as a dialect has read it."""

    # None if the client states it later.
    length: int | None
    # Upload-Metadata as the client wrote it.
    metadata: str | None
    # The SHA-256 that the client promises for the whole file.
    promised: bytes | None
    # The size of the body that comes with the request; None for a body of unknown size.
    body_size: int | None
    # Whether the request brings the first bytes of the upload.
    has_body: bool
    # The announced checksum of that body.
    checksum: Checksum | None = None
    # None for a single upload.
    concat: Concat | None = None
    # Whether a final upload may be created before all of its parts are complete.
    may_wait: bool = True
    # Who the upload will belong to, how long after its last change it expires, and how large it may become even if its
    # length is stated later; if the application said so.
    owner: str | None = None
    expire_after: float | None = None
    max_size: int | None = None
    # The key under which this creation may be repeated; None if the client gave none.
    creation_key: CreationKey | None = None
    # The same three as in an AppendRequest, for the body that comes with the request.
    completes: bool = False
    stays_open: bool = False
    excess_fails: bool = False
    # Whether the body of this request has to bring the whole upload, since no other request can go on with it.
    in_one_request: bool = False


class AppendRequest(Struct, frozen=True, kw_only=True, gc=False):
    """A request to append a body to an upload, as a dialect has read it."""

    # The offset at which the client continues; it must be the recorded one.
    offset: int
    # The length of the upload if the request states it.
    length: int | None
    # The SHA-256 that the client promises for the whole file, if the request states it.
    promised: bytes | None
    # None for a body of unknown size.
    body_size: int | None
    # The announced checksum of this body.
    checksum: Checksum | None = None
    # Whether the end of this body is the end of the upload. If no length is known, the offset at the end becomes the
    # length. A body that is cut short completes nothing.
    completes: bool = False
    # Whether the upload is not finished by this body even if all bytes are there then: the client will say by another
    # request that it is complete.
    stays_open: bool = False
    # Whether the upload fails if this body has more bytes than are left to send.
    excess_fails: bool = False


class Licence(Struct, frozen=True, kw_only=True, gc=False):
    """The permission to store the bytes [start, end) of an upload.

    decisions.append grants it before any byte of a body is read. Storing a byte beyond `end` is refused, so that no
    later check is needed. A licence is valid only as long as the lease under which it was granted is held.
    """

    start: int
    # One past the last byte that may be stored.
    end: int
    # With a checksum the body is kept as a whole once it has proved right, or not at all.
    checksum: Checksum | None = None
    # Whether `end` is the length of the upload; otherwise it is the largest size that is allowed.
    declared: bool = True
    # Whether the end of the body, whose size is not known, is the end of the upload.
    completes: bool = False
    # As in the AppendRequest.
    stays_open: bool = False
    excess_fails: bool = False
