"""The state machine as a table, and the pure decisions about an upload.

Each function takes the record, what happened and the time, and gives the next record, or refuses.
"""

from collections.abc import Callable
from enum import StrEnum
from math import exp, inf
from typing import Any

from msgspec.structs import replace

from protocol.errors import BadRequest, ChecksumMismatch, Forbidden, Gone, OffsetMismatch, TooLarge
from protocol.headers import MAX_INTEGER
from protocol.model import Append, Create, Failure, Licence, Limits, Place, Role, Status, Upload, UploadId

LONGEST_WAIT = 60.0  # seconds between two looks of the sweep at a final upload that waits for its parts
UNITS = ((2**40, "TiB"), (10**12, "TB"), (2**30, "GiB"), (10**9, "GB"), (2**20, "MiB"), (10**6, "MB"))
RATE_SMOOTHING = 3.0  # seconds after which an old rate weighs 1/e in the told one


class Act(StrEnum):
    """What can happen to an upload."""

    RECEIVE = "receive"
    PAUSE = "pause"
    FILL = "fill"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    TERMINATE = "terminate"
    EXPIRE = "expire"
    WAIT = "wait"
    JOIN = "join"
    KEEP = "keep"


_UNFINISHED = (Status.PENDING, Status.UPLOADING, Status.PAUSED)

TRANSITIONS: dict[tuple[Status, Act], Status] = {
    **{(status, Act.RECEIVE): Status.UPLOADING for status in _UNFINISHED},
    **{(status, Act.PAUSE): Status.PAUSED for status in _UNFINISHED},
    **{(status, Act.FILL): Status.VERIFYING for status in _UNFINISHED},
    **{(status, Act.FAIL): Status.FAILED for status in (*_UNFINISHED, Status.VERIFYING)},
    (Status.VERIFYING, Act.PASS): Status.COMPLETED,
    **{
        (status, Act.TERMINATE): Status.TERMINATED
        for status in (*_UNFINISHED, Status.VERIFYING, Status.COMPLETED, Status.FAILED)
    },
    **{(status, Act.EXPIRE): Status.EXPIRED for status in (*_UNFINISHED, Status.COMPLETED)},
    (Status.PENDING, Act.WAIT): Status.PENDING,
    (Status.PENDING, Act.JOIN): Status.VERIFYING,
    (Status.COMPLETED, Act.KEEP): Status.COMPLETED,
}


Look = Callable[[Upload, float, Limits], float | None]


def _at_expiry(upload: Upload, _now: float, _limits: Limits) -> float | None:
    return upload.expires


def _when_quiet(upload: Upload, now: float, limits: Limits) -> float | None:
    return _not_later(now + limits.quiet_after, upload.expires)


def _when_settled(upload: Upload, now: float, limits: Limits) -> float | None:
    """Look at an unfinished upload that nobody is sending; what only memory has is made durable soon."""
    if upload.volatile:
        return _when_quiet(upload, now, limits)
    return upload.expires


def _when_begun(upload: Upload, now: float, limits: Limits) -> float | None:
    """Look at a new upload; a final one waits for its parts, and is looked at less and less often."""
    if upload.role is not Role.FINAL:
        return _when_settled(upload, now, limits)
    wait = min(max(limits.quiet_after, (now - upload.created) / 10), LONGEST_WAIT)
    return _not_later(now + wait, upload.expires)


def _when_released(upload: Upload, now: float, limits: Limits) -> float | None:
    """Look at a failed upload to remove its bytes; lost bytes stay with the record, since a disk may come back."""
    stays = inf if upload.failure is Failure.LOST else limits.release_after
    return now + min(stays, limits.forget_after)


def _when_forgotten(_upload: Upload, now: float, limits: Limits) -> float | None:
    return now + limits.forget_after


def _not_later(at: float, end: float | None) -> float:
    return at if end is None else min(at, end)


LOOKS: dict[Status, Look] = {  # when the sweep looks at an upload next, counted from the change that is recorded
    Status.PENDING: _when_begun,
    Status.UPLOADING: _when_quiet,
    Status.PAUSED: _when_settled,
    Status.VERIFYING: _when_quiet,
    Status.COMPLETED: _at_expiry,
    Status.FAILED: _when_released,
    Status.TERMINATED: _when_forgotten,
    Status.EXPIRED: _when_forgotten,
}
_ENDED: dict[str, Any] = {"volatile": None, "hashing": None}  # what no upload has that has come to its end


def _looked_at(upload: Upload, now: float, limits: Limits) -> Upload:
    return replace(upload, due=LOOKS[upload.status](upload, now, limits))


def moved(upload: Upload, act: Act, now: float, limits: Limits, **changes: Any) -> Upload:
    """Move a record on by the table, with what else changes, and note when the sweep has to look at it."""
    status = TRANSITIONS[upload.status, act]
    if status.final:
        changes |= _ENDED
    return _looked_at(replace(upload, status=status, updated=now, **changes), now, limits)


def carried(upload: Upload, by: float, *, now: float, limits: Limits) -> Upload:
    """Give a record of before the clock was set by so many seconds the time that it still has."""
    expires = None if upload.expires is None else upload.expires + by
    return _looked_at(replace(upload, updated=now, expires=expires), now, limits)


def expiry(now: float, limits: Limits) -> float | None:
    """Give the time when an upload expires that nothing happens to from now on."""
    return None if limits.expire_after is None else now + limits.expire_after


def largest(limits: Limits) -> int:
    """Give the length in bytes that an upload may have."""
    return MAX_INTEGER if limits.max_size is None else limits.max_size


def check_size(length: int, limits: Limits) -> None:
    """Refuse an upload of more bytes than one may have; raises TooLarge."""
    room = largest(limits)
    if length > room:
        raise TooLarge(f"An upload may have {sized(room)} at most.", headers={"Tus-Max-Size": str(room)})


def sized(count: int) -> str:
    """Give a size for people: a round one in its unit, any other in bytes."""
    for unit, name in UNITS:
        if count and not count % unit:
            return f"{count // unit:,} {name}"
    return f"{count} bytes" if count < 10_000 else f"{count:,} bytes"


def create(wish: Create, *, id: UploadId, place: Place, now: float, limits: Limits) -> Upload:
    """Decide on a new upload; raises TooLarge."""
    check_size(wish.length or 0, limits)
    if wish.body_size is not None and wish.body_size > (largest(limits) if wish.length is None else wish.length):
        raise TooLarge("The body is longer than the upload.")
    upload = Upload(
        id=id,
        place=place,
        status=Status.PENDING,
        length=wish.length,
        offset=0,
        metadata=wish.metadata,
        promised=wish.promised,
        created=now,
        updated=now,
        expires=expiry(now, limits),
        concat=wish.concat,
    )
    return _looked_at(upload, now, limits)


def check_open(upload: Upload, now: float) -> None:
    """Refuse what has failed, was terminated or has expired; raises Gone."""
    if upload.status is Status.FAILED:
        raise Gone(f"The upload failed: {upload.failure}.")
    if upload.status in (Status.TERMINATED, Status.EXPIRED):
        raise Gone(f"The upload was {upload.status}.")
    if is_expired(upload, now):
        raise Gone("The upload was expired.")


def append(upload: Upload, wish: Append, *, now: float, limits: Limits) -> tuple[Upload, Licence]:
    """Decide on a body: the record with what the request declares, and the licence.

    Raises Gone, Forbidden, OffsetMismatch, BadRequest or TooLarge; a completed upload takes an empty body at its end.
    """
    check_open(upload, now)
    if upload.role is Role.FINAL:
        raise Forbidden("A final upload takes no bytes of its own.")
    if wish.offset != upload.offset:
        raise OffsetMismatch(upload.offset)
    upload = _declared(upload, wish, limits)
    end = largest(limits) if upload.length is None else upload.length
    if wish.body_size is not None and wish.body_size > end - upload.offset:
        raise TooLarge(f"{end - upload.offset} bytes are left to send.")
    return upload, Licence(start=upload.offset, end=end, checksum=wish.checksum)


def _declared(upload: Upload, wish: Append, limits: Limits) -> Upload:
    length, promised = upload.length, upload.promised
    if wish.length is not None:
        if length is not None and wish.length != length:
            raise BadRequest("Upload-Length was told before, and differs.")
        if wish.length < upload.offset:
            raise BadRequest("Upload-Length is below the offset.")
        check_size(wish.length, limits)
        length = wish.length
    if wish.promised is not None:
        known = upload.sha256 if upload.status is Status.COMPLETED else promised
        if known is not None and wish.promised != known:
            raise BadRequest("The promised SHA-256 differs from the one known before.")
        promised = known or wish.promised
    if (length, promised) == (upload.length, upload.promised):
        return upload
    return replace(upload, length=length, promised=promised)


def _rate(upload: Upload, count: int, now: float, since: float) -> float:
    """Give the smoothed rate in bytes a second; gaps between the bodies of a chunked upload count, pauses don't."""
    began = upload.updated if upload.status is Status.UPLOADING else since
    if now <= began:  # the clock was set back
        return upload.rate
    age = max(now - upload.updated, now - began)
    weight = 1.0 - exp(-age / RATE_SMOOTHING) if upload.rate else 1.0
    return upload.rate + weight * (count / (now - began) - upload.rate)


def _progress(upload: Upload, offset: int, now: float, since: float, limits: Limits) -> dict[str, Any]:
    rate = _rate(upload, offset - upload.offset, now, since)
    return {"offset": offset, "rate": rate, "expires": expiry(now, limits)}


def received(
    upload: Upload, offset: int, *, now: float, since: float, limits: Limits, hashing: bytes | None = None
) -> Upload:
    """Note that the bytes up to `offset` are durable; `since` is when the last were noted. It never completes."""
    changes = _progress(upload, offset, now, since, limits)
    return moved(upload, Act.RECEIVE, now, limits, hashing=hashing, **changes)


def ended(
    upload: Upload, offset: int, *, now: float, since: float, limits: Limits, cut: bool, hashing: bytes | None = None
) -> Upload:
    """Note the end of a body, whole or cut: uploading, paused, or verifying when the last byte is in."""
    act = Act.FILL if offset == upload.length else Act.PAUSE if cut else Act.RECEIVE
    return moved(upload, act, now, limits, hashing=hashing, **_progress(upload, offset, now, since, limits))


def paused(upload: Upload, *, now: float, limits: Limits) -> Upload:
    """Note that nobody is sending."""
    return moved(upload, Act.PAUSE, now, limits)


def volatile(upload: Upload, boot: str, *, now: float, limits: Limits) -> Upload:
    """Note that something told is in the memory of the machine only, in its run `boot`; nothing else changes."""
    if upload.volatile == boot:
        return upload
    return _looked_at(replace(upload, volatile=boot), now, limits)


def durable(upload: Upload, *, now: float, limits: Limits) -> Upload:
    """Note that all that was told is durable now; nothing else changes."""
    return _looked_at(replace(upload, volatile=None), now, limits)


def is_lost(upload: Upload, boot: str) -> bool:
    """Tell whether the machine stopped while told bytes were in its memory only; `boot` is the one that runs now."""
    return upload.volatile not in (None, boot) and (upload.status, Act.FAIL) in TRANSITIONS


def judge(upload: Upload, sha256: bytes) -> None:
    """Hold the SHA-256 of the whole file against the promise; raises ChecksumMismatch."""
    if upload.promised is not None and upload.promised != sha256:
        raise ChecksumMismatch(f"The bytes have the SHA-256 {sha256.hex()}.")


def completed(upload: Upload, *, sha256: bytes, place: Place, now: float, limits: Limits) -> Upload:
    """Note that the file is verified, and published at `place`; a partial upload goes on to expire."""
    expires = expiry(now, limits) if upload.role is Role.PARTIAL else None
    return moved(upload, Act.PASS, now, limits, sha256=sha256, place=place, expires=expires)


def failed(upload: Upload, failure: Failure, *, now: float, limits: Limits, sha256: bytes | None = None) -> Upload:
    """Note that the upload can't be completed any more."""
    return moved(upload, Act.FAIL, now, limits, failure=failure, sha256=sha256)


def emptied(upload: Upload, *, limits: Limits) -> Upload:
    """Note that the bytes of a failed upload are removed; the record still tells why it is gone."""
    return replace(upload, due=upload.updated + limits.forget_after)


def is_forgotten(upload: Upload, now: float, limits: Limits) -> bool:
    """Tell whether an upload that is gone has told so for long enough."""
    gone = upload.status in (Status.FAILED, Status.TERMINATED, Status.EXPIRED)
    return gone and upload.updated + limits.forget_after <= now


def terminated(upload: Upload, *, now: float, limits: Limits) -> Upload:
    """Note that the client gave the upload up; raises Gone where it is gone already."""
    if (upload.status, Act.TERMINATE) not in TRANSITIONS:
        raise Gone(f"The upload was {upload.status}.")
    return moved(upload, Act.TERMINATE, now, limits)


def expired(upload: Upload, *, now: float, limits: Limits) -> Upload:
    """Note that the time of an unfinished or partial upload is over."""
    return moved(upload, Act.EXPIRE, now, limits)


def is_expired(upload: Upload, now: float) -> bool:
    """Tell whether the time of an unfinished or partial upload is over."""
    may = (upload.status, Act.EXPIRE) in TRANSITIONS
    return may and upload.expires is not None and upload.expires <= now
