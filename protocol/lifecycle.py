"""The life of an upload: which status may follow which, and when the sweep looks at each.

Two tables, and nothing else in the project decides either question:

    TRANSITIONS   (status, change) -> status     what may happen to an upload; a pair that is missing is refused
    LOOKS         status -> rule                 when the sweep has to look at an upload of that status next

decisions.py makes every new record by `moved`, which uses both tables, so that no record is saved without the time of
its next look. The diagram in docs/architecture.md is drawn from TRANSITIONS by a test.
"""

from collections.abc import Callable
from enum import StrEnum
from math import inf
from typing import Any

from msgspec.structs import replace

from onward.protocol.model import LOST, Limits, Role, Status, Upload

ABANDONED = 60.0  # seconds after its last bytes until an unfinished upload that can't be resumed expires
LONGEST_WAIT = 60.0  # seconds between two looks of the sweep at a final upload that waits for its parts


class Change(StrEnum):
    """What can happen to an upload."""

    RECEIVE = "receive"
    PAUSE = "pause"
    FILL = "fill"
    HOLD = "hold"
    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    TERMINATE = "terminate"
    EXPIRE = "expire"
    WAIT = "wait"
    JOIN = "join"
    KEEP = "keep"


_UNFINISHED = (Status.PENDING, Status.UPLOADING, Status.PAUSED)

TRANSITIONS: dict[tuple[Status, Change], Status] = {
    **{(status, Change.RECEIVE): Status.UPLOADING for status in _UNFINISHED},
    **{(status, Change.PAUSE): Status.PAUSED for status in _UNFINISHED},
    **{(status, Change.FILL): Status.VERIFYING for status in _UNFINISHED},
    **{(status, Change.FAIL): Status.FAILED for status in (*_UNFINISHED, Status.VERIFYING)},
    (Status.VERIFYING, Change.HOLD): Status.VERIFYING,
    (Status.VERIFYING, Change.PASS): Status.COMPLETED,
    **{
        (status, Change.TERMINATE): Status.TERMINATED
        for status in (*_UNFINISHED, Status.VERIFYING, Status.COMPLETED, Status.FAILED)
    },
    **{(status, Change.EXPIRE): Status.EXPIRED for status in (*_UNFINISHED, Status.VERIFYING, Status.COMPLETED)},
    (Status.PENDING, Change.WAIT): Status.PENDING,
    (Status.PENDING, Change.JOIN): Status.VERIFYING,
    (Status.COMPLETED, Change.KEEP): Status.COMPLETED,
}


Look = Callable[[Upload, float, Limits], float | None]


def _at_expiry(upload: Upload, _now: float, _limits: Limits) -> float | None:
    return upload.expires


def _when_quiet(upload: Upload, now: float, limits: Limits) -> float | None:
    return _not_later(now + limits.quiet_after, upload.expires)


def _when_judged(upload: Upload, now: float, limits: Limits) -> float | None:
    """Look at an upload whose verification may have been interrupted; at a held one only at `held_until`."""
    if upload.held_until is None:
        return _when_quiet(upload, now, limits)
    return _not_later(upload.held_until, upload.expires)


def _when_settled(upload: Upload, now: float, limits: Limits) -> float | None:
    """Look at an upload that receives no body: when it expires, or soon if some bytes are not durable yet."""
    if upload.volatile:
        return _when_quiet(upload, now, limits)
    return upload.expires


def _when_begun(upload: Upload, now: float, limits: Limits) -> float | None:
    """Look at a new upload. A final upload waits for its parts; the looks at it become less frequent with time."""
    if upload.role is not Role.FINAL:
        return _when_settled(upload, now, limits)
    wait = min(max(limits.quiet_after, (now - upload.created) / 10), LONGEST_WAIT)
    return _not_later(now + wait, upload.expires)


def _when_released(upload: Upload, now: float, limits: Limits) -> float | None:
    """Look at a failed upload to remove its bytes. Bytes that were lost are left alone: their disk may come back."""
    is_lost = upload.failure is not None and upload.failure.code == LOST.code
    stays = inf if is_lost else limits.release_after
    return now + min(stays, limits.forget_after)


def _when_emptied(_upload: Upload, now: float, limits: Limits) -> float | None:
    """Look at a terminated or expired upload: its bytes are removed at once, but that may have failed."""
    return now + min(limits.quiet_after, limits.forget_after)


def _not_later(at: float, end: float | None) -> float:
    return at if end is None else min(at, end)


LOOKS: dict[Status, Look] = {  # when the sweep looks at an upload next, counted from the change that is recorded
    Status.PENDING: _when_begun,
    Status.UPLOADING: _when_quiet,
    Status.PAUSED: _when_settled,
    Status.VERIFYING: _when_judged,
    Status.COMPLETED: _at_expiry,
    Status.FAILED: _when_released,
    Status.TERMINATED: _when_emptied,
    Status.EXPIRED: _when_emptied,
}
# What is removed from the record of an upload that ends.
_ENDED: dict[str, Any] = {"volatile": None, "hashing": None, "held_until": None, "checks": ()}


def with_next_look(upload: Upload, now: float, limits: Limits) -> Upload:
    """Return the record with the time when the sweep has to look at it next."""
    return replace(upload, due=LOOKS[upload.status](upload, now, limits))


def moved(upload: Upload, change: Change, now: float, limits: Limits, **changes: Any) -> Upload:
    """Return the record after a change: its next status, the other `changes`, and when the sweep has to look at it.

    Raises KeyError for a change that the table does not allow.
    """
    status = TRANSITIONS[upload.status, change]
    if status.final:
        changes |= _ENDED
    return with_next_look(replace(upload, status=status, updated=now, **changes), now, limits)


def carried(upload: Upload, by: float, *, now: float, limits: Limits) -> Upload:
    """Return a record with its times moved `by` seconds, as the clock was set, so that its time left is the same."""
    expires = None if upload.expires is None else upload.expires + by
    held_until = None if upload.held_until is None else upload.held_until + by
    return with_next_look(replace(upload, updated=now, expires=expires, held_until=held_until), now, limits)


def expiry(now: float, limits: Limits, own: float | None) -> float | None:
    """Return when an upload expires if nothing happens to it from now on; None for never.

    `own` is the time that counts for this upload instead of that of the limits, in seconds.
    """
    after = limits.expire_after if own is None else own
    return None if after is None else now + after


def unfinished_expiry(now: float, limits: Limits, own: float | None, *, in_one_request: bool) -> float | None:
    """Return when an unfinished upload expires: soon if its only request has to bring all of it."""
    usual = expiry(now, limits, own)
    if not in_one_request:
        return usual
    return now + ABANDONED if usual is None else min(now + ABANDONED, usual)
