"""Every refusal: one class each, with its status, code and title (RFC 9457), in a tree of kinds.

Raise a leaf. Catch a leaf, a kind, or Refusal. A refusal carries values, such as the limit that was exceeded; the
dialect of the request writes them as headers, and server/http/problems.py writes the problem document.

Refusal
├─ ClientFault: the request itself is wrong, and would be refused again
│  ├─ BadRequest 400          ├─ RangeUnsatisfiable 416
│  │  └─ InconsistentLength
│  ├─ MethodNotAllowed 405    ├─ ExpectationFailed 417
│  ├─ VersionUnsupported 412  ├─ HeadTooLarge 431
│  ├─ PreconditionFailed 412  ├─ KeyReused 422
│  └─ MediaType 415           └─ BodyMismatch 460
├─ Denied: this act is not allowed
│  ├─ NoToken 401             ├─ Forbidden 403            └─ ForeignOrigin 403
│  ├─ InvalidToken 401        ├─ AccessDenied 403
├─ Absent: there is no such upload
│  ├─ NotFound 404            └─ Gone 410
├─ Conflict: the upload is in another state; ask for its offset, and go on from there
│  ├─ OffsetMismatch 409      ├─ Locked 423
│  ├─ NotCompleted 409        └─ BodyStalled 423
├─ LimitExceeded: more than there is room for
│  ├─ TooLarge 413            ├─ Crowded 503              ├─ StorageFull 507
│  │  └─ LengthExceeded       ├─ RequestTooLarge 413     └─ QuotaExceeded 413
├─ Failed: the upload has failed in this request; status, code and title are those of its Failure
└─ ServerFault 500: the fault is the server's
   ├─ Unavailable 503         └─ Unchecked 503
   │                             └─ Unpublished 503
"""

from collections.abc import Iterable, Mapping

from onward.protocol.model import Failure, Upload


class Refusal(Exception):
    """A request is refused. The upload stays as it was recorded.

    `detail` is a sentence for people. `retry_after` is the number of seconds after which a retry is welcome, or None.
    `headers` are for headers of HTTP that no value stands for, such as WWW-Authenticate; `members` are further members
    of the problem document.
    """

    status: int = 500
    code: str = "refused"
    title: str = "The request was refused"
    retry_after: int | None = None
    # The upload that the request is about, as it is recorded, if the dialect of the request tells of it.
    upload: Upload | None = None

    def __init__(
        self, detail: str = "", *, retry_after: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.headers = dict(headers or {})
        self.members: dict[str, object] = {}
        if retry_after is not None:
            self.retry_after = retry_after


class ClientFault(Refusal):
    """The request itself is wrong. It would be refused again."""


class Denied(Refusal):
    """The act is not allowed: never, not to this client, or not from this page."""


class Absent(Refusal):
    """There is no such upload, or none any more."""


class Conflict(Refusal):
    """The request does not fit the present state of the upload. A client asks for the offset and goes on from there."""


class LimitExceeded(Refusal):
    """The request asks for more than the server allows, or has room for."""


class Failed(Refusal):
    """The upload has failed in this request, for the reason `failure`. Later requests for it are refused with Gone."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail or failure.title)
        self.failure = failure
        self.status, self.code, self.title, self.detail = failure.status, failure.code, failure.title, failure.detail


class ServerFault(Refusal):
    """The server has a fault. The offset stays as it was recorded."""

    status, code, title = 500, "server-fault", "The server has a fault"


class BadRequest(ClientFault):
    """A header is malformed, is missing, or contradicts another one."""

    status, code, title = 400, "bad-request", "The request is malformed"


class InconsistentLength(BadRequest):
    """The length that the request states, or the end of its body, is not the length of the upload."""


class MethodNotAllowed(ClientFault):
    """The route does not have the method. `allowed` are the methods that it has."""

    status, code, title = 405, "method-not-allowed", "The method is not allowed here"

    def __init__(self, *, allowed: Iterable[str]) -> None:
        super().__init__()
        self.allowed = sorted(allowed)


class VersionUnsupported(ClientFault):
    """The request names no version of its dialect, or one that is not supported."""

    status, code, title = 412, "version-unsupported", "The protocol version is not supported"


class PreconditionFailed(ClientFault):
    """If-Match asks for a file that is to be replaced, and no file is ever replaced (RFC 9110, 13.1.1)."""

    status, code, title = 412, "precondition-failed", "No file is replaced here"


class MediaType(ClientFault):
    """The body has a Content-Type or a Content-Encoding that is not supported."""

    status, code, title = 415, "media-type", "The media type is not supported"


class RangeUnsatisfiable(ClientFault):
    """The Range lies outside the file (RFC 9110, 15.5.17). `size` is the size of the file in bytes."""

    status, code, title = 416, "range-unsatisfiable", "The range lies outside the file"

    def __init__(self, *, size: int) -> None:
        super().__init__()
        self.size = size


class ExpectationFailed(ClientFault):
    """Expect asks for something other than 100-continue (RFC 9110, 10.1.1)."""

    status, code, title = 417, "expectation-failed", "The expectation can't be met"


class HeadTooLarge(ClientFault):
    """The request line, a header, or all headers together are too large (RFC 6585, 5)."""

    status, code, title = 431, "head-too-large", "The head of the request is too large"


class BodyMismatch(ClientFault):
    """The bytes of a body don't have its announced checksum. None of them is kept (tus 1.0.0, checksum)."""

    status, code, title = 460, "body-checksum-mismatch", "The body does not have the announced checksum"


class KeyReused(ClientFault):
    """An Idempotency-Key was sent before, with a creation that asked for something else."""

    status, code, title = 422, "idempotency-key-reused", "The Idempotency-Key was used for another creation"


class NoToken(Denied):
    """The request has no token, and access control is on (RFC 6750, 3)."""

    status, code, title = 401, "no-token", "This needs a token"


class InvalidToken(Denied):
    """The token is malformed, has another signature, has expired, or is meant for somebody else (RFC 6750, 3.1)."""

    status, code, title = 401, "invalid-token", "The token is not valid"


class Forbidden(Denied):
    """An upload of this kind never allows it (tus 1.0.0, concatenation: PATCH on a final upload)."""

    status, code, title = 403, "forbidden", "An upload of this kind does not allow it"


class AccessDenied(Denied):
    """The token, or the access function of an application that embeds the server, does not allow it."""

    status, code, title = 403, "access-denied", "This is not allowed to you"


class ForeignOrigin(Denied):
    """A page of an origin that is not allowed asks to watch, or sends a form. Browsers let any page do so."""

    status, code, title = 403, "foreign-origin", "Pages of this origin may not do this"


class NotFound(Absent):
    """There is no such upload, or no such route."""

    status, code, title = 404, "not-found", "There is nothing here"


class Gone(Absent):
    """The upload failed, for the reason `failure`, or was terminated, or has expired."""

    status, code, title = 410, "gone", "The upload is gone"

    def __init__(self, detail: str = "", *, failure: Failure | None = None) -> None:
        super().__init__(detail)
        self.failure = failure


class OffsetMismatch(Conflict):
    """The request continues at `provided`, which is another offset than the recorded one, `recorded`."""

    status, code, title = 409, "offset-mismatch", "Upload-Offset is not the offset of the upload"

    def __init__(self, *, recorded: int, provided: int) -> None:
        super().__init__(f"The upload continues at {recorded}.")
        self.recorded, self.provided = recorded, provided


class NotCompleted(Conflict):
    """The upload can be downloaded only when it is completed."""

    status, code, title = 409, "not-completed", "The upload is not completed"


class Locked(Conflict):
    """Another request holds the lease on the upload."""

    status, code, title = 423, "locked", "Another request works on this upload"


class BodyStalled(Conflict):
    """The body stopped arriving. What arrived is kept, and another request can go on from there.

    The status is not 408: most clients take that for the end of the upload (docs/decisions.md, the table of clients).
    """

    status, code, title = 423, "body-stalled", "The body stopped arriving"


class TooLarge(LimitExceeded):
    """The upload would have more bytes than its length, or than the server allows.

    `limit` is the largest size in bytes that the server allows; None if the upload's own length is exceeded.
    """

    status, code, title = 413, "too-large", "The upload would become too large"

    def __init__(self, detail: str = "", *, limit: int | None = None) -> None:
        super().__init__(detail)
        self.limit = limit


class RequestTooLarge(LimitExceeded):
    """The body of one request is larger than the server takes at once; the upload itself may be larger.

    `limit` is the largest body in bytes.
    """

    status, code, title = 413, "request-too-large", "The body of the request is too large"

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"A request may bring {limit} bytes at most.")
        self.limit = limit


class LengthExceeded(TooLarge):
    """The body has more bytes than the upload has left."""


class QuotaExceeded(LimitExceeded):
    """The owner would have more bytes, or the token more uploads, than is allowed. What is removed is given back."""

    status, code, title = 413, "quota-exceeded", "The quota is used up"


class Crowded(LimitExceeded):
    """There are more uploads, connections or watchers than the server takes at once. A retry is welcome."""

    status, code, title = 503, "crowded", "The server takes no more at the moment"
    retry_after = 10


class StorageFull(LimitExceeded):
    """The disk is full. The upload stays as it was recorded."""

    status, code, title = 507, "storage-full", "There is no room to store the bytes"


class Unavailable(ServerFault):
    """The state or the storage does not answer. A retry is welcome."""

    status, code, title = 503, "unavailable", "The service is not available at the moment"
    retry_after = 1


class Unchecked(ServerFault):
    """A check can't judge the whole file at the moment. The upload is held, and is checked again later."""

    status, code, title = 503, "unchecked", "The file can't be checked at the moment"
    retry_after = 1


class Unpublished(Unchecked):
    """A whole file is not in the bucket of finished files yet. It is kept, and is published later."""

    code, title = "unpublished", "The file can't be published at the moment"
