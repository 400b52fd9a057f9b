"""The state machine as a table, and the pure decisions about an upload.

Each function takes the record, what happened and the time, and gives the next record, or refuses.
"""

from dataclasses import replace
from enum import StrEnum

from protocol.errors import BadRequest, ChecksumMismatch, Gone, OffsetMismatch, TooLarge
from protocol.headers import MAX_INTEGER
from protocol.model import Append, Create, Failure, Licence, Limits, Place, Status, Upload, UploadId

RATE_SMOOTHING = 2.0  # seconds that the told rate looks back


class Act(StrEnum):
    """What can happen to an upload."""

    RECEIVE = "receive"
    PAUSE = "pause"
    FILL = "fill"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    TERMINATE = "terminate"
    EXPIRE = "expire"


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
    **{(status, Act.EXPIRE): Status.EXPIRED for status in _UNFINISHED},
}


def _due(status: Status, now: float, expires: float | None, limits: Limits) -> float | None:
    match status:
        case Status.COMPLETED:
            return None
        case Status.UPLOADING | Status.VERIFYING:
            quiet = now + limits.quiet_after
            return quiet if expires is None else min(quiet, expires)
        case Status.PENDING | Status.PAUSED:
            return expires
        case _:
            return now + limits.forget_after


def _moved(upload: Upload, act: Act, now: float, limits: Limits) -> Upload:
    status = TRANSITIONS[upload.status, act]
    return replace(upload, status=status, updated=now, due=_due(status, now, upload.expires, limits))


def _expiry(now: float, limits: Limits) -> float | None:
    return None if limits.expire_after is None else now + limits.expire_after


def create(wish: Create, *, id: UploadId, place: Place, now: float, limits: Limits) -> Upload:
    """Decide on a new upload; raises TooLarge."""
    largest = MAX_INTEGER if limits.max_size is None else limits.max_size
    if wish.length is not None and wish.length > largest:
        raise TooLarge(f"An upload may have {largest} bytes at most.")
    if wish.body_size is not None and wish.body_size > (largest if wish.length is None else wish.length):
        raise TooLarge("The body is longer than the upload.")
    expires = _expiry(now, limits)
    return Upload(
        id=id,
        place=place,
        status=Status.PENDING,
        length=wish.length,
        offset=0,
        metadata=wish.metadata,
        promised=wish.promised,
        created=now,
        updated=now,
        expires=expires,
        due=_due(Status.PENDING, now, expires, limits),
    )


def check_open(upload: Upload, now: float) -> None:
    """Refuse what has failed, was terminated or has expired; raises Gone."""
    if upload.status is Status.FAILED:
        raise Gone(f"The upload failed: {upload.failure}.")
    if upload.status in (Status.TERMINATED, Status.EXPIRED):
        raise Gone(f"The upload was {upload.status}.")
    if upload.status in _UNFINISHED and upload.expires is not None and upload.expires <= now:
        raise Gone("The upload was expired.")


def append(upload: Upload, wish: Append, *, now: float, limits: Limits) -> tuple[Upload, Licence]:
    """Decide on a body: the record with what the request declares, and the licence.

    Raises Gone, OffsetMismatch, BadRequest or TooLarge; a completed upload takes an empty body at its end.
    """
    check_open(upload, now)
    if wish.offset != upload.offset:
        raise OffsetMismatch(upload.offset)
    upload = _declared(upload, wish, limits)
    largest = MAX_INTEGER if limits.max_size is None else limits.max_size
    end = largest if upload.length is None else upload.length
    if wish.body_size is not None and wish.body_size > end - upload.offset:
        raise TooLarge(f"{end - upload.offset} bytes are left to send.")
    return upload, Licence(start=upload.offset, end=end)


def _declared(upload: Upload, wish: Append, limits: Limits) -> Upload:
    length, promised = upload.length, upload.promised
    if wish.length is not None:
        if length is not None and wish.length != length:
            raise BadRequest("Upload-Length was told before, and differs.")
        if wish.length < upload.offset:
            raise BadRequest("Upload-Length is below the offset.")
        if limits.max_size is not None and wish.length > limits.max_size:
            raise TooLarge(f"An upload may have {limits.max_size} bytes at most.")
        length = wish.length
    if wish.promised is not None:
        known = upload.sha256 if upload.status is Status.COMPLETED else promised
        if known is not None and wish.promised != known:
            raise BadRequest("The promised SHA-256 differs from the one known before.")
        promised = known or wish.promised
    return replace(upload, length=length, promised=promised)


def received(upload: Upload, offset: int, *, now: float, since: float, limits: Limits) -> Upload:
    """Note that the bytes up to `offset` are durable; `since` is when the last were noted. It never completes."""
    seconds = max(now - since, 1e-3)
    weight = min(seconds / RATE_SMOOTHING, 1.0) if upload.status is Status.UPLOADING and upload.rate else 1.0
    rate = upload.rate + weight * ((offset - upload.offset) / seconds - upload.rate)
    upload = replace(upload, offset=offset, rate=rate, expires=_expiry(now, limits))
    return _moved(upload, Act.RECEIVE, now, limits)


def ended(upload: Upload, offset: int, *, now: float, since: float, limits: Limits, cut: bool) -> Upload:
    """Note the end of a body, whole or cut: uploading, paused, or verifying when the last byte is in."""
    upload = received(upload, offset, now=now, since=since, limits=limits)
    if offset == upload.length:
        return _moved(upload, Act.FILL, now, limits)
    return paused(upload, now=now, limits=limits) if cut else upload


def paused(upload: Upload, *, now: float, limits: Limits) -> Upload:
    """Note that nobody is sending."""
    return _moved(upload, Act.PAUSE, now, limits)


def judge(upload: Upload, sha256: bytes) -> None:
    """Hold the SHA-256 of the whole file against the promise; raises ChecksumMismatch."""
    if upload.promised is not None and upload.promised != sha256:
        raise ChecksumMismatch(f"The bytes have the SHA-256 {sha256.hex()}.")


def completed(upload: Upload, *, sha256: bytes, place: Place, now: float, limits: Limits) -> Upload:
    """Note that the file is verified and published at `place`."""
    return _moved(replace(upload, sha256=sha256, place=place, expires=None), Act.PASS, now, limits)


def failed(upload: Upload, failure: Failure, *, now: float, limits: Limits, sha256: bytes | None = None) -> Upload:
    """Note that the upload can't be completed any more."""
    return _moved(replace(upload, failure=failure, sha256=sha256), Act.FAIL, now, limits)


def terminated(upload: Upload, *, now: float, limits: Limits) -> Upload:
    """Note that the client gave the upload up; raises Gone where it is gone already."""
    if (upload.status, Act.TERMINATE) not in TRANSITIONS:
        raise Gone(f"The upload was {upload.status}.")
    return _moved(upload, Act.TERMINATE, now, limits)


def expired(upload: Upload, *, now: float, limits: Limits) -> Upload:
    """Note that the time of an unfinished upload is over."""
    return _moved(upload, Act.EXPIRE, now, limits)


def is_expired(upload: Upload, now: float) -> bool:
    """Tell whether the time of an unfinished upload is over."""
    return upload.status in _UNFINISHED and upload.expires is not None and upload.expires <= now
