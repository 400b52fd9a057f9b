"""Every way to say no: one class each, with its status, code and title (RFC 9457).

Refusal
├─ BadRequest 400          ├─ Gone 410               ├─ HeadTooLarge 431
├─ Forbidden 403           ├─ VersionUnsupported 412 ├─ ChecksumMismatch 460
├─ AccessDenied 403        ├─ TooLarge 413           ├─ BodyMismatch 460
├─ ForeignOrigin 403       ├─ MediaType 415          ├─ ServerFault 500
├─ NotFound 404            ├─ RangeUnsatisfiable 416 ├─ Unavailable 503
├─ MethodNotAllowed 405    ├─ ExpectationFailed 417  ├─ Crowded 503
├─ OffsetMismatch 409      ├─ Locked 423             └─ StorageFull 507
└─ NotCompleted 409        └─ BodyStalled 423
"""

from collections.abc import Mapping
from typing import ClassVar


class Refusal(Exception):
    """A request is refused; the upload stays as it was recorded."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "refused"
    title: ClassVar[str] = "The request was refused"

    def __init__(self, detail: str = "", *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.headers = dict(headers or {})


class BadRequest(Refusal):
    """A header is malformed, missing or contradicts another."""

    status, code, title = 400, "bad-request", "The request is malformed"


class Forbidden(Refusal):
    """An upload of this kind never allows it (tus 1.0.0, concatenation: PATCH on a final upload)."""

    status, code, title = 403, "forbidden", "An upload of this kind does not allow it"


class AccessDenied(Refusal):
    """The access check of an application that embeds the server says no."""

    status, code, title = 403, "access-denied", "This is not allowed to you"


class ForeignOrigin(Refusal):
    """A page of another origin, or of several, asks to watch; browsers open WebSockets to any page (RFC 6455, 10.2)."""

    status, code, title = 403, "foreign-origin", "Pages of this origin may not watch"


class NotFound(Refusal):
    """No such upload, or no such route."""

    status, code, title = 404, "not-found", "There is nothing here"


class MethodNotAllowed(Refusal):
    """The route doesn't know the method."""

    status, code, title = 405, "method-not-allowed", "The method is not allowed here"


class OffsetMismatch(Refusal):
    """Upload-Offset is not the recorded offset (tus 1.0.0, PATCH)."""

    status, code, title = 409, "offset-mismatch", "Upload-Offset is not the offset of the upload"

    def __init__(self, recorded: int) -> None:
        super().__init__(f"The upload continues at {recorded}.", headers={"Upload-Offset": str(recorded)})


class NotCompleted(Refusal):
    """The upload can be downloaded once it is completed."""

    status, code, title = 409, "not-completed", "The upload is not completed"


class Gone(Refusal):
    """The upload failed, was terminated or expired."""

    status, code, title = 410, "gone", "The upload is gone"


class VersionUnsupported(Refusal):
    """Tus-Resumable is missing or names another version (tus 1.0.0, Tus-Version)."""

    status, code, title = 412, "version-unsupported", "The protocol version is not supported"


class TooLarge(Refusal):
    """More bytes than the upload's length or the server's limit allow."""

    status, code, title = 413, "too-large", "The upload would become too large"


class MediaType(Refusal):
    """The body has a Content-Type or a Content-Encoding that can't be taken."""

    status, code, title = 415, "media-type", "The media type is not supported"


class RangeUnsatisfiable(Refusal):
    """The Range lies outside the file (RFC 9110, 15.5.17)."""

    status, code, title = 416, "range-unsatisfiable", "The range lies outside the file"


class ExpectationFailed(Refusal):
    """Expect asks for something else than 100-continue (RFC 9110, 10.1.1)."""

    status, code, title = 417, "expectation-failed", "The expectation can't be met"


class HeadTooLarge(Refusal):
    """A header, the request line or all of them are too large (RFC 6585, 5)."""

    status, code, title = 431, "head-too-large", "The head of the request is too large"


class Locked(Refusal):
    """Another request works on the upload."""

    status, code, title = 423, "locked", "Another request works on this upload"


class BodyStalled(Refusal):
    """The body stopped arriving; what came is kept, and the upload waits for another request.

    Not 408: most clients take that for the end of the upload (docs/decisions.md, the table of clients).
    """

    status, code, title = 423, "body-stalled", "The body stopped arriving"


class ChecksumMismatch(Refusal):
    """The SHA-256 of the bytes is not the promised one."""

    status, code, title = 460, "checksum-mismatch", "The SHA-256 is not the promised one"


class BodyMismatch(Refusal):
    """The bytes of a body are not those of its Upload-Checksum; none is kept (tus 1.0.0, checksum)."""

    status, code, title = 460, "body-checksum-mismatch", "The body does not have the announced checksum"


class ServerFault(Refusal):
    """The server has a fault of its own; the offset stays as recorded."""

    status, code, title = 500, "server-fault", "The server has a fault"


class Unavailable(Refusal):
    """The state or the storage doesn't answer; a retry is welcome."""

    status, code, title = 503, "unavailable", "The service is not available at the moment"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "1"})


class Crowded(Refusal):
    """More uploads, connections or watchers than the server takes at once; a retry is welcome."""

    status, code, title = 503, "crowded", "The server takes no more at the moment"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail, headers={"Retry-After": "10"})


class StorageFull(Refusal):
    """The disk is full; the upload stays as it was recorded."""

    status, code, title = 507, "storage-full", "There is no room to store the bytes"
