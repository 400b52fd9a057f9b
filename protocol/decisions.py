"""The decisions about an upload. Each takes the record, what happened, and the time.

A decision returns the next record, or raises the Refusal that the client gets. It changes nothing and reads no clock.
The engine calls these functions under the lease on the upload, and saves the records that they return. The tables that
they follow are in lifecycle.py.
"""

from math import exp
from typing import Any

from msgspec.structs import replace

from onward.protocol.errors import (
    BadRequest,
    Failed,
    Forbidden,
    Gone,
    InconsistentLength,
    LengthExceeded,
    OffsetMismatch,
    TooLarge,
)
from onward.protocol.headers import MAX_INTEGER
from onward.protocol.lifecycle import TRANSITIONS, Change, expiry, moved, unfinished_expiry, with_next_look
from onward.protocol.model import (
    CHECKSUM_MISMATCH,
    Allowance,
    AppendRequest,
    CreateRequest,
    Failure,
    Licence,
    Limits,
    Place,
    Role,
    Status,
    Upload,
    UploadId,
)

UNITS = ((2**40, "TiB"), (10**12, "TB"), (2**30, "GiB"), (10**9, "GB"), (2**20, "MiB"), (10**6, "MB"))
RATE_SMOOTHING = 3.0  # seconds after which an old rate has the weight 1/e in the new one


def largest(limits: Limits) -> int:
    """Return the largest size of an upload in bytes."""
    return MAX_INTEGER if limits.max_size is None else limits.max_size


def check_size(length: int, limits: Limits) -> None:
    """Refuse an upload that is larger than the limits allow. Raises TooLarge."""
    room = largest(limits)
    if length > room:
        raise TooLarge(f"An upload may have {sized(room)} at most.", limit=room)


def sized(count: int) -> str:
    """Return a size as people write it: a round one in its unit, any other in bytes."""
    for unit, name in UNITS:
        if count and not count % unit:
            return f"{count // unit:,} {name}"
    return f"{count} bytes" if count < 10_000 else f"{count:,} bytes"


def check_creation(request: CreateRequest, limits: Limits) -> None:
    """Refuse a creation of more than the limits allow. Raises TooLarge."""
    check_size(request.length or 0, limits)
    if request.body_size is not None and request.body_size > (
        largest(limits) if request.length is None else request.length
    ):
        raise excess(largest(limits), request.length)


def create(request: CreateRequest, *, id: UploadId, place: Place, now: float, limits: Limits) -> Upload:
    """Return the record of a new upload. Raises TooLarge."""
    check_creation(request, limits)
    upload = Upload(
        id=id,
        place=place,
        status=Status.PENDING,
        length=request.length,
        offset=0,
        metadata=request.metadata,
        promised=request.promised,
        created=now,
        updated=now,
        expires=unfinished_expiry(now, limits, request.expire_after, in_one_request=request.in_one_request),
        owner=request.owner,
        expire_after=request.expire_after,
        max_size=request.max_size,
        in_one_request=request.in_one_request,
        types=request.types,
        allowance=_allowance(request, limits),
        concat=request.concat,
        creation_key=request.creation_key,
    )
    return with_next_look(upload, now, limits)


def _allowance(request: CreateRequest, limits: Limits) -> Allowance | None:
    """Return what limits the owner; None if there is no owner, or no limit."""
    if request.owner is None or (limits.quota is None and request.allowance is None):
        return None
    return replace(request.allowance or Allowance(), quota=limits.quota)


def check_open(upload: Upload, now: float) -> None:
    """Refuse an upload that failed, was terminated, or has expired. Raises Gone."""
    if upload.status is Status.FAILED:
        raise Gone(f"The upload failed: {upload.failure and upload.failure.title}.", failure=upload.failure)
    if upload.status in (Status.TERMINATED, Status.EXPIRED):
        raise Gone(f"The upload was {upload.status}.")
    if is_expired(upload, now):
        raise Gone("The upload was expired.")


def append(upload: Upload, request: AppendRequest, *, now: float, limits: Limits) -> tuple[Upload, Licence]:
    """Return the record with what the request declares, and the licence to store the body.

    A completed upload accepts an empty body at its end, so that a repeated request succeeds. Raises Gone, Forbidden,
    OffsetMismatch, BadRequest, TooLarge, or LengthExceeded if the body has more bytes than are left to send.
    """
    check_open(upload, now)
    if upload.role is Role.FINAL:
        raise Forbidden("A final upload takes no bytes of its own.")
    if request.offset != upload.offset:
        raise OffsetMismatch(recorded=upload.offset, provided=request.offset)
    limits = limits.at_most(upload.max_size)
    upload = _declared(upload, request, limits)
    end = largest(limits) if upload.length is None else upload.length
    if request.body_size is not None and request.body_size > end - upload.offset:
        raise excess(end, upload.length)
    if request.completes and request.body_size is not None:
        upload = _ended_at(upload, upload.offset + request.body_size)
    return upload, Licence(
        start=upload.offset,
        end=end if upload.length is None else upload.length,
        checksum=request.checksum,
        declared=upload.length is not None,
        completes=request.completes and request.body_size is None,
        needs_end=request.needs_end and request.body_size is None,
        excess_fails=request.excess_fails,
    )


def excess(end: int, length: int | None) -> TooLarge:
    """Return the refusal of a body that goes beyond `end`, which is the length of the upload if that is known."""
    if length is None:
        return TooLarge(f"An upload may have {sized(end)} at most.", limit=end)
    return LengthExceeded(f"The upload has {sized(length)}, and the body goes beyond them.")


def _ended_at(upload: Upload, end: int) -> Upload:
    if upload.length not in (None, end):
        raise InconsistentLength(f"The body would end the upload at {end}, but its length is {upload.length}.")
    return upload if upload.length == end else replace(upload, length=end)


def _declared(upload: Upload, request: AppendRequest, limits: Limits) -> Upload:
    length, promised = upload.length, upload.promised
    if request.length is not None:
        if length is not None and request.length != length:
            raise InconsistentLength("Upload-Length was stated before, and differs.")
        if request.length < upload.offset:
            raise InconsistentLength("Upload-Length is below the offset.")
        check_size(request.length, limits)
        length = request.length
    if request.promised is not None:
        known = upload.sha256 if upload.status is Status.COMPLETED else promised
        if known is not None and request.promised != known:
            raise BadRequest("The promised SHA-256 differs from the one known before.")
        promised = known or request.promised
    if (length, promised) == (upload.length, upload.promised):
        return upload
    return replace(upload, length=length, promised=promised)


def _rate(upload: Upload, count: int, now: float, since: float) -> float:
    """Return the smoothed rate in bytes per second. Gaps between the bodies of an upload count, pauses don't."""
    began = upload.updated if upload.status is Status.UPLOADING else since
    if now <= began:  # the clock was set back
        return upload.rate
    age = max(now - upload.updated, now - began)
    weight = 1.0 - exp(-age / RATE_SMOOTHING) if upload.rate else 1.0
    return upload.rate + weight * (count / (now - began) - upload.rate)


def _progress(upload: Upload, offset: int, now: float, since: float, limits: Limits) -> dict[str, Any]:
    rate = _rate(upload, offset - upload.offset, now, since)
    expires = unfinished_expiry(now, limits, upload.expire_after, in_one_request=upload.in_one_request)
    return {"offset": offset, "rate": rate, "expires": expires}


def received(
    upload: Upload, offset: int, *, now: float, since: float, limits: Limits, hashing: bytes | None = None
) -> Upload:
    """Record that the bytes up to `offset` are stored, in the middle of a body.

    `since` is the time of the previous record of this body. This never completes the upload; see `ended`.
    """
    changes = _progress(upload, offset, now, since, limits)
    return moved(upload, Change.RECEIVE, now, limits, hashing=hashing, **changes)


def ended(
    upload: Upload,
    offset: int,
    *,
    now: float,
    since: float,
    limits: Limits,
    cut: bool,
    completes: bool = False,
    needs_end: bool = False,
    hashing: bytes | None = None,
) -> Upload:
    """Record the end of a body: the upload is uploading, paused if the body was cut, or verifying if it is finished.

    `completes`: the end of the body is the end of the upload. Without a stated length the offset becomes the length;
    a stated length stays, and an upload that is shorter is unfinished. A body that was cut completes nothing.
    `needs_end`: nor does it finish an upload of known length whose bytes are all there then.
    """
    length = offset if completes and not cut and upload.length is None else upload.length
    finished = offset == length and not (cut and (completes or needs_end))
    change = Change.FILL if finished else Change.PAUSE if cut else Change.RECEIVE
    changes = _progress(upload, offset, now, since, limits)
    return moved(upload, change, now, limits, length=length, hashing=hashing, **changes)


def is_filled(upload: Upload) -> bool:
    """Return whether all bytes of an upload are there, but nothing has finished it yet: its last body was cut."""
    unfinished = (upload.status, Change.FILL) in TRANSITIONS
    return unfinished and upload.role is not Role.FINAL and upload.offset == upload.length


def filled(upload: Upload, *, now: float, limits: Limits) -> Upload:
    """Record that an upload is to be finished whose bytes are all there, without another body."""
    return moved(upload, Change.FILL, now, limits, hashing=None)


def paused(upload: Upload, *, now: float, limits: Limits) -> Upload:
    """Record that the upload waits for another request."""
    return moved(upload, Change.PAUSE, now, limits)


def volatile(upload: Upload, boot: str, *, now: float, limits: Limits) -> Upload:
    """Record that acknowledged bytes may be only in the memory of the machine, whose boot id is `boot`."""
    if upload.volatile == boot:
        return upload
    return with_next_look(replace(upload, volatile=boot), now, limits)


def durable(upload: Upload, *, now: float, limits: Limits) -> Upload:
    """Record that all acknowledged bytes are durable now."""
    return with_next_look(replace(upload, volatile=None), now, limits)


def is_lost(upload: Upload, boot: str) -> bool:
    """Return whether the machine stopped with acknowledged bytes in its memory only. `boot` is its present run."""
    return upload.volatile not in (None, boot) and (upload.status, Change.FAIL) in TRANSITIONS


def judge(upload: Upload, sha256: bytes) -> None:
    """Compare the SHA-256 of the whole file with the promised one. Raises Failed."""
    if upload.promised is not None and upload.promised != sha256:
        raise Failed(replace(CHECKSUM_MISMATCH, detail=f"The bytes have the SHA-256 {sha256.hex()}."))


def held(upload: Upload, *, until: float, sha256: bytes | None, now: float, limits: Limits) -> Upload:
    """Record that a check can't judge a whole file before a certain time.

    The SHA-256 is kept, so that the bytes need not be hashed again. From its first hold on, the upload may wait as long
    as an unfinished one may; then it expires.
    """
    expires = expiry(now, limits, upload.expire_after) if upload.held_until is None else upload.expires
    return moved(upload, Change.HOLD, now, limits, held_until=until, sha256=sha256, expires=expires)


def completed(
    upload: Upload, *, sha256: bytes, place: Place, now: float, limits: Limits, content_type: str | None = None
) -> Upload:
    """Record that the file is verified, and published at `place`.

    A partial upload is not published, and expires; a published file expires only if the limits say so.
    """
    kept = limits.keep_completed
    expires = None if kept is None else now + kept
    if upload.role is Role.PARTIAL:
        expires = expiry(now, limits, upload.expire_after)
    changes = {"sha256": sha256, "place": place, "expires": expires, "content_type": content_type}
    return moved(upload, Change.PASS, now, limits, **changes)


def failed(upload: Upload, failure: Failure, *, now: float, limits: Limits, sha256: bytes | None = None) -> Upload:
    """Record that the upload can't be completed any more."""
    return moved(upload, Change.FAIL, now, limits, failure=failure, sha256=sha256)


def emptied(upload: Upload, *, limits: Limits) -> Upload:
    """Record that the bytes of an ended upload are removed; the record stays, so that requests are answered."""
    return replace(upload, due=upload.updated + limits.forget_after)


def is_forgotten(upload: Upload, now: float, limits: Limits) -> bool:
    """Return whether the record of an upload that is gone has been kept for long enough."""
    gone = upload.status in (Status.FAILED, Status.TERMINATED, Status.EXPIRED)
    return gone and upload.updated + limits.forget_after <= now


def terminated(upload: Upload, *, now: float, limits: Limits) -> Upload:
    """Record that a client terminated the upload. Raises Gone if it is gone already."""
    if (upload.status, Change.TERMINATE) not in TRANSITIONS:
        raise Gone(f"The upload was {upload.status}.")
    return moved(upload, Change.TERMINATE, now, limits)


def expired(upload: Upload, *, now: float, limits: Limits) -> Upload:
    """Record that an upload has expired."""
    return moved(upload, Change.EXPIRE, now, limits)


def is_expired(upload: Upload, now: float) -> bool:
    """Return whether an upload has expired that is unfinished, is held by a check, or is partial."""
    can_expire = (upload.status, Change.EXPIRE) in TRANSITIONS
    if upload.status is Status.VERIFYING and upload.held_until is None:  # nothing but a crash keeps it from its end
        return False
    return can_expire and upload.expires is not None and upload.expires <= now
