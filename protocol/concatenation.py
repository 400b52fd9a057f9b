"""The decisions about final uploads and their parts (tus 1.0.0, concatenation).

A final upload has no bytes of its own: it is created with a list of parts, waits until all of them are complete, and
is then joined from them. server/uploads/concatenation.py calls these functions, and saves what they return.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from onward.protocol import decisions, lifecycle
from onward.protocol.errors import BadRequest, Gone, TooLarge
from onward.protocol.lifecycle import Change, moved
from onward.protocol.model import PART_GONE, TOO_LARGE, Limits, Role, Status, Upload


def check_parts(parts: Sequence[Upload], *, now: float, limits: Limits, may_wait: bool) -> int | None:
    """Check that parts can be joined. Return the length of the final upload, None while a part has no length.

    `may_wait` allows parts that are unfinished. Raises BadRequest, Gone or TooLarge.
    """
    for part in parts:
        if part.role is not Role.PARTIAL:
            raise BadRequest("Upload-Concat names an upload that is not partial.")
        decisions.check_open(part, now)
        if part.status is not Status.COMPLETED and not may_wait:
            raise BadRequest("Upload-Concat names an upload that is not complete.")
    decisions.check_size(sum(part.length or part.offset for part in parts), limits)
    return _length(parts)


def advanced(final: Upload, parts: Sequence[Upload], *, now: float, limits: Limits) -> Upload:
    """Return the next record of a final upload: it waits for its parts, is ready to be joined, or has failed."""
    try:
        length = check_parts(parts, now=now, limits=limits.at_most(final.max_size), may_wait=True)
    except TooLarge:
        return decisions.failed(final, TOO_LARGE, now=now, limits=limits)
    except Gone:
        return decisions.failed(final, PART_GONE, now=now, limits=limits)
    ends = [each.expires for each in (final, *parts)]
    latest = None if None in ends else max(end for end in ends if end is not None)
    final = replace(final, length=length, expires=latest)  # it may wait as long as its parts may
    if length is None or any(part.status is not Status.COMPLETED for part in parts):
        return moved(final, Change.WAIT, now, limits)
    return moved(final, Change.JOIN, now, limits, offset=length)


def wanted(part: Upload, *, now: float, limits: Limits) -> Upload:
    """Record that a final upload needs this complete part, so that the part stays until it has been joined."""
    return moved(part, Change.KEEP, now, limits, expires=lifecycle.expiry(now, limits, part.expire_after))


def is_needed_longer(part: Upload, *, now: float, limits: Limits) -> bool:
    """Return whether a complete part would expire before the sweep looks at the waiting final upload again."""
    return (
        part.status is Status.COMPLETED and part.expires is not None and part.expires < now + 2 * limits.release_after
    )


def released(part: Upload, *, now: float, limits: Limits) -> Upload:
    """Record that the final upload is complete: its part expires soon, but outlives a repeated request to join it."""
    soon = now + limits.release_after
    expires = soon if part.expires is None else min(part.expires, soon)
    return moved(part, Change.KEEP, now, limits, expires=expires)


def _length(parts: Sequence[Upload]) -> int | None:
    lengths = [part.length for part in parts if part.length is not None]
    return sum(lengths) if len(lengths) == len(parts) else None
