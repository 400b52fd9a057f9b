"""The replies of the IETF draft "Resumable Uploads for HTTP". `ietf.py` reads its requests, and has the versions.

`Upload-Complete: ?1` in a reply says that the upload is over, well or badly: it is finished, or its file was judged.
Every other reply says `?0`, also a refusal: the upload protocol speaks, and the client may go on.
"""

from math import ceil

from msgspec import Struct

from onward.protocol.dialects.dialect import Reply, build_problem
from onward.protocol.errors import (
    Failed,
    Gone,
    InconsistentLength,
    LengthExceeded,
    LimitExceeded,
    OffsetMismatch,
    Refusal,
    TooLarge,
)
from onward.protocol.headers import build_refusal_headers, build_repr_digest
from onward.protocol.model import EXCEEDED, LOST, PART_GONE, TOO_LARGE, Limits, Status, Upload
from onward.protocol.structured_fields import MOST, build_counts

VERSION = "Upload-Draft-Interop-Version"
MEDIA_TYPE = "application/partial-upload"
RESUMPTION_SUPPORTED = 104
PROBLEM_TYPES = "https://iana.org/assignments/http-problem-types#"
CORS_REPLIES = frozenset({
    "Accept-Patch", "Content-Location", "Location", "Repr-Digest", "Upload-Complete", VERSION, "Upload-Length",
    "Upload-Limit", "Upload-Offset",
})  # fmt: skip
# Failures of the upload itself; all others are judgements of its file.
_UNJUDGED = frozenset({failure.code for failure in (EXCEEDED, LOST, PART_GONE, TOO_LARGE)})


class Version(Struct, frozen=True, kw_only=True):
    """A row of the table of interop versions."""

    # The number that clients name. None for a version that is not known, which gets no informational replies.
    number: int | None
    # The members of Upload-Limit that tell how many seconds an upload is kept.
    lifetime: tuple[str, ...] = ("max-age",)
    # The status of the reply to an append that leaves the upload unfinished.
    continues_with: int = 204
    # Whether an append without Upload-Complete is the last one.
    implies_complete: bool = False
    # Whether HEAD and DELETE are refused if they have fields of other requests.
    refuses_fields: bool = False
    # Whether an upload fails if it gets more bytes than its length.
    excess_fails: bool = True
    # The status of the refusal of more bytes for a finished upload.
    more_data: int = 409


def _flag(*, over: bool) -> str:
    return "?1" if over else "?0"


def _state(upload: Upload) -> dict[str, str]:
    headers = {"Upload-Complete": _flag(over=upload.status is Status.COMPLETED), "Upload-Offset": str(upload.offset)}
    if upload.status is Status.COMPLETED and upload.sha256:
        headers["Repr-Digest"] = build_repr_digest(upload.sha256)
    if upload.url is not None:
        headers["Content-Location"] = upload.url
    return headers


def build_limit(version: Version, limits: Limits, seconds: float | None) -> dict[str, str]:
    """Write Upload-Limit; `seconds` are how long the upload is kept from now on, None for no limit."""
    members = {} if limits.max_size is None else {"max-size": limits.max_size}
    members["min-size"] = 0
    if limits.max_request is not None:
        members["max-append-size"] = limits.max_request
    if seconds is not None:
        members |= dict.fromkeys(version.lifetime, max(ceil(seconds), 0))
    return {"Upload-Limit": build_counts(members)}


def _limit_of(version: Version, upload: Upload, limits: Limits, now: float) -> dict[str, str]:
    ends = None if upload.status is Status.COMPLETED or upload.expires is None else upload.expires - now
    return build_limit(version, limits.at_most(upload.max_size), ends)


def build_created(version: Version, upload: Upload, location: str, limits: Limits, now: float) -> Reply:
    """Return the reply to a creation."""
    return Reply(status=201, headers={"Location": location} | _state(upload) | _limit_of(version, upload, limits, now))


def build_appended(version: Version, upload: Upload, _limits: Limits, _now: float) -> Reply:
    """Return the reply to PATCH."""
    return Reply(status=200 if upload.status is Status.COMPLETED else version.continues_with, headers=_state(upload))


def build_described(version: Version, upload: Upload, limits: Limits, now: float) -> dict[str, str]:
    """Return all that is told of an upload."""
    headers = _state(upload) | _limit_of(version, upload, limits, now)
    if upload.length is not None and upload.length <= MOST:
        headers["Upload-Length"] = str(upload.length)
    return headers


def build_inspected(version: Version, upload: Upload, limits: Limits, now: float) -> Reply:
    """Return the reply to HEAD."""
    headers = {"Cache-Control": "no-store"} | build_described(version, upload, limits, now)
    return Reply(status=204, headers=headers)


def build_terminated() -> Reply:
    """Return the reply to DELETE."""
    return Reply(status=204, headers={})


def build_discovered(version: Version, limits: Limits) -> Reply:
    """Return the reply to OPTIONS."""
    return Reply(status=204, headers={"Accept-Patch": MEDIA_TYPE} | build_limit(version, limits, limits.expire_after))


def build_interim(version: Version, upload: Upload, location: str | None, limits: Limits, now: float) -> Reply:
    """Return a 104: with the URL of the upload as soon as it is created, with its offset while a body arrives."""
    headers = {VERSION: str(version.number)}
    if location is None:
        headers["Upload-Offset"] = str(upload.offset)
    else:
        headers |= {"Location": location} | _limit_of(version, upload, limits, now)
    return Reply(status=RESUMPTION_SUPPORTED, headers=headers)


def _is_judged(refusal: Refusal) -> bool:
    """Return whether the file of the upload was judged and refused, by this request or before it."""
    failure = refusal.failure if isinstance(refusal, Failed | Gone) else None
    return failure is not None and failure.code not in _UNJUDGED


def build_refused(version: Version, refusal: Refusal, _for_offset: bool, limits: Limits, now: float) -> Reply:
    """Return the reply to a request that is refused."""
    upload, status, type_, members = refusal.upload, refusal.status, None, {}
    headers = build_refusal_headers(refusal)
    headers["Upload-Complete"] = _flag(over=_is_judged(refusal))
    if upload is not None:
        headers["Upload-Offset"] = str(upload.offset)
    if isinstance(refusal, OffsetMismatch):
        headers["Upload-Offset"] = str(refusal.recorded)
        type_ = f"{PROBLEM_TYPES}mismatching-upload-offset"
        members = {"expected-offset": refusal.recorded, "provided-offset": refusal.provided}
    elif isinstance(refusal, LengthExceeded) and upload is not None and upload.status is Status.COMPLETED:
        status = version.more_data
    elif isinstance(refusal, LengthExceeded | InconsistentLength):
        status, type_ = 400, f"{PROBLEM_TYPES}inconsistent-upload-length"
    elif isinstance(refusal, LimitExceeded):
        allowed = limits.at_most(refusal.limit) if isinstance(refusal, TooLarge) else limits
        headers |= (
            build_limit(version, allowed, limits.expire_after)
            if upload is None
            else _limit_of(version, upload, allowed, now)
        )
    return build_problem(refusal, status, headers, type=type_, **members)
