"""The dialect tus 1.0.0: how its requests are read, and how results and refusals are written as replies.

This is the only file of the server that knows the headers of tus. The table EXTENSIONS decides what OPTIONS offers and
what an operator may switch off; DIALECT, at the end, is the row in the table of dialects.
"""

from msgspec import Struct

from onward.protocol.checksums import ALGORITHMS
from onward.protocol.creation_keys import KEPT
from onward.protocol.dialects.dialect import Dialect, Headers, Reply, Request, build_problem
from onward.protocol.errors import (
    BadRequest,
    Forbidden,
    Locked,
    MediaType,
    OffsetMismatch,
    Refusal,
    RequestTooLarge,
    TooLarge,
    VersionUnsupported,
)
from onward.protocol.headers import (
    build_http_date,
    build_refusal_headers,
    build_repr_digest,
    parse_checksum,
    parse_concat,
    parse_hex_sha256,
    parse_integer,
    parse_metadata,
    parse_part,
    parse_repr_digest,
)
from onward.protocol.model import AppendRequest, Checksum, Concat, CreateRequest, Limits, Role, Status, Upload

VERSION = "1.0.0"
CONTENT_TYPE = "application/offset+octet-stream"
OVERRIDE = "X-HTTP-Method-Override"  # a header with the method that a request means, for clients that can't send it
SOON = {"Retry-After": "1"}  # seconds
PASSING = frozenset({408, 423, 425, 429})  # statuses after which a retry may succeed, and all from 500 on


class Extension(Struct, frozen=True):
    """A row of the table: the name of an extension in OPTIONS, and the extension without which it makes no sense."""

    name: str
    needs: str | None = None


EXTENSIONS = (
    Extension("creation"),
    Extension("creation-with-upload", needs="creation"),
    Extension("creation-defer-length", needs="creation"),
    Extension("termination"),
    Extension("expiration"),
    Extension("checksum"),
    Extension("concatenation", needs="creation"),
    Extension("concatenation-unfinished", needs="concatenation"),
)
_NEEDS = {row.name: row.needs for row in EXTENSIONS}
_METHODS = {"DELETE": "termination", "POST": "creation"}  # methods that belong to an extension


def offers(limits: Limits, name: str) -> bool:
    """Return whether an extension is offered. An extension that isn't is not acted on either."""
    if name == "expiration" and limits.expire_after is None:
        return False
    needed = _NEEDS[name]
    return name not in limits.without and (needed is None or offers(limits, needed))


def claims(_method: str, headers: Headers) -> bool:
    """Return whether a request names tus, in any version."""
    return "Tus-Resumable" in headers


def find_method(method: str, headers: Headers) -> str:
    """Return the method that a request means (tus 1.0.0, Core Protocol, X-HTTP-Method-Override)."""
    return headers.get(OVERRIDE, method)


def offers_method(method: str, limits: Limits) -> bool:
    """Return whether the extension that a method belongs to is offered; tus has no PUT."""
    return method != "PUT" and (method not in _METHODS or offers(limits, _METHODS[method]))


def build_discovered(limits: Limits) -> Reply:
    """Return the reply to OPTIONS (tus 1.0.0, Core Protocol, OPTIONS)."""
    headers = {"Tus-Resumable": VERSION, "Tus-Version": VERSION}
    if extensions := ",".join(row.name for row in EXTENSIONS if offers(limits, row.name)):
        headers["Tus-Extension"] = extensions
    if offers(limits, "creation"):
        headers["Upload-Idempotency"] = f"max-age={KEPT:.0f}"  # Idempotency-Key is heeded for so many seconds
    if offers(limits, "checksum"):
        headers["Tus-Checksum-Algorithm"] = ",".join(ALGORITHMS)
    if limits.max_size is not None:
        headers["Tus-Max-Size"] = str(limits.max_size)
    return Reply(status=204, headers=headers | build_request_limit(limits.max_request))


def build_request_limit(most: int | None) -> dict[str, str]:
    """Return the header with the largest body of one request; tus has none, so it is that of the IETF draft."""
    return {} if most is None else {"Upload-Limit": f"max-append-size={most}"}


def check_version(headers: Headers) -> None:
    """Refuse a request of another version or of none; OPTIONS is not checked. Raises VersionUnsupported."""
    if headers.get("tus-resumable") != VERSION:
        raise VersionUnsupported(f"Tus-Resumable must be {VERSION}.")


def read_create(request: Request, limits: Limits) -> CreateRequest:
    """Read POST. Raises ClientFault and Denied.

    Extensions: creation, creation-with-upload, creation-defer-length, checksum, concatenation.
    """
    headers = request.headers
    check_version(headers)
    has_body = request.has_body and offers(limits, "creation-with-upload")
    concat = _concat(request, limits)
    if concat and concat.role is Role.FINAL:
        if request.has_body:
            raise Forbidden("A final upload takes no bytes of its own.")
        if {"upload-length", "upload-defer-length"} & headers.keys():
            raise BadRequest("The length of a final upload is that of its parts.")
        length = None
    else:
        length = _length(headers, limits)
    if has_body:
        _check_content(headers)
    metadata = headers.get("upload-metadata")
    named = parse_metadata(metadata or "").get("sha256")
    promises = {_digest(headers), None if named is None else parse_hex_sha256(named)} - {None}
    if len(promises) > 1:
        raise BadRequest("The metadata sha256 and Repr-Digest differ.")
    return CreateRequest(
        length=length,
        metadata=metadata or None,
        promised=next(iter(promises), None),
        body_size=request.body_size if has_body else 0,
        has_body=has_body,
        checksum=_checksum(headers, limits) if has_body else None,
        concat=concat,
        may_wait=offers(limits, "concatenation-unfinished"),
    )


def _length(headers: Headers, limits: Limits) -> int | None:
    length, deferred = headers.get("upload-length"), headers.get("upload-defer-length")
    if deferred is not None and not offers(limits, "creation-defer-length"):
        raise BadRequest("Deferring the length is not supported.")
    if (length is None) == (deferred is None):
        raise BadRequest("Either Upload-Length or Upload-Defer-Length is needed.")
    if deferred is not None and deferred != "1":
        raise BadRequest("Upload-Defer-Length must be 1.")
    return None if length is None else parse_integer("Upload-Length", length)


def _concat(request: Request, limits: Limits) -> Concat | None:
    value = request.headers.get("upload-concat")
    if value is None or not offers(limits, "concatenation"):
        return None
    urls = parse_concat(value)
    if urls is None:
        return Concat(role=Role.PARTIAL, told=value)
    path, host = request.find_collection()
    parts = tuple(parse_part(url, host=host, path=path) for url in urls)
    return Concat(role=Role.FINAL, told=value, parts=parts)


def _checksum(headers: Headers, limits: Limits) -> Checksum | None:
    if not offers(limits, "checksum"):
        return None
    if "upload-checksum" in headers.get("trailer", "").lower():
        raise BadRequest("A checksum in a trailer is not supported.")
    value = headers.get("upload-checksum")
    return None if value is None else parse_checksum(value)


def read_append(request: Request, limits: Limits) -> AppendRequest:
    """Read PATCH. Raises ClientFault."""
    headers = request.headers
    check_version(headers)
    _check_content(headers)
    offset, length = headers.get("upload-offset"), headers.get("upload-length")
    if offset is None:
        raise BadRequest("Upload-Offset is needed.")
    return AppendRequest(
        offset=parse_integer("Upload-Offset", offset),
        length=None if length is None else parse_integer("Upload-Length", length),
        promised=_digest(headers),
        body_size=request.body_size,
        checksum=_checksum(headers, limits),
    )


def _digest(headers: Headers) -> bytes | None:
    value = headers.get("repr-digest")
    return None if value is None else parse_repr_digest(value)


def _check_content(headers: Headers) -> None:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise MediaType(f"Content-Type must be {CONTENT_TYPE}.")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise MediaType("A Content-Encoding is not supported.")


def is_passing(status: int) -> bool:
    """Return whether a request that is answered with this status may succeed later."""
    return status >= 500 or status in PASSING


def choose_status(status: int, for_offset: bool) -> int:
    """Return the status to refuse with; `for_offset` if the request asks, or may ask, for the offset of an upload.

    tus-js-client and Uppy give an upload up if HEAD is answered with anything but 2xx and 423, and send the whole file
    again to a new upload. So everything that passes is 423 to such a request (docs/decisions.md, the table of clients).
    """
    return Locked.status if for_offset and is_passing(status) else status


def build_upload_headers(upload: Upload) -> dict[str, str]:
    """Return the headers of a reply to POST and PATCH: the offset, and when the upload expires."""
    headers = {"Tus-Resumable": VERSION}
    if upload.role is not Role.FINAL or upload.status is Status.COMPLETED:
        headers["Upload-Offset"] = str(upload.offset)
    if upload.expires is not None:
        headers["Upload-Expires"] = build_http_date(upload.expires)
    if upload.status is Status.COMPLETED and upload.sha256:
        headers["Repr-Digest"] = build_repr_digest(upload.sha256)
    if upload.url is not None:
        headers["Content-Location"] = upload.url
    return headers


def build_created(upload: Upload, location: str, limits: Limits, _now: float) -> Reply:
    """Return the reply to a creation (tus 1.0.0, creation)."""
    headers = {"Location": location} | build_upload_headers(upload) | build_request_limit(limits.max_request)
    return Reply(status=201, headers=headers)


def build_appended(upload: Upload, _limits: Limits, _now: float) -> Reply:
    """Return the reply to PATCH (tus 1.0.0, Core Protocol, PATCH)."""
    return Reply(status=204, headers=build_upload_headers(upload))


def build_terminated() -> Reply:
    """Return the reply to DELETE (tus 1.0.0, termination)."""
    return Reply(status=204, headers={})


def build_inspected(upload: Upload, limits: Limits, _now: float) -> Reply:
    """Return the reply to HEAD (tus 1.0.0, Core Protocol, HEAD)."""
    headers = build_upload_headers(upload) | {"Cache-Control": "no-store"}
    if upload.length is not None:
        headers["Upload-Length"] = str(upload.length)
    elif upload.role is not Role.FINAL:
        headers["Upload-Defer-Length"] = "1"
    if upload.metadata is not None:
        headers["Upload-Metadata"] = upload.metadata
    if upload.concat is not None:
        headers["Upload-Concat"] = upload.concat.told
    return Reply(status=200, headers=headers | build_request_limit(limits.max_request))


def build_refused(refusal: Refusal, for_offset: bool, _limits: Limits, _now: float) -> Reply:
    """Return the reply to a request that is refused; its values are in the headers of HTTP and of tus."""
    status = choose_status(refusal.status, for_offset)
    headers = _refusal_headers(refusal)
    return build_problem(refusal, status, headers if status == refusal.status else SOON | headers)


def _refusal_headers(refusal: Refusal) -> dict[str, str]:
    headers = build_refusal_headers(refusal)
    if isinstance(refusal, OffsetMismatch):
        headers["Upload-Offset"] = str(refusal.recorded)
    elif isinstance(refusal, TooLarge) and refusal.limit is not None:
        headers["Tus-Max-Size"] = str(refusal.limit)
    elif isinstance(refusal, RequestTooLarge):
        headers |= build_request_limit(refusal.limit)
    elif isinstance(refusal, VersionUnsupported):
        headers["Tus-Version"] = VERSION
    return headers


DIALECT = Dialect(
    name="tus 1.0.0",
    signs=("Tus-Resumable",),
    claims=claims,
    stamp={"Tus-Resumable": VERSION},
    sent_once=("upload-", "tus-", "content-", "repr-"),
    cors_requests=frozenset({
        "Content-Type", "Repr-Digest", "Tus-Resumable", "Upload-Checksum", "Upload-Concat", "Upload-Defer-Length",
        "Upload-Length", "Upload-Metadata", "Upload-Offset", OVERRIDE,
    }),
    cors_replies=frozenset({
        "Content-Location", "Location", "Repr-Digest", "Tus-Checksum-Algorithm", "Tus-Extension", "Tus-Max-Size",
        "Tus-Resumable", "Tus-Version", "Upload-Concat", "Upload-Defer-Length", "Upload-Expires", "Upload-Length",
        "Upload-Limit", "Upload-Metadata", "Upload-Offset",
    }),
    find_method=find_method,
    offers_method=offers_method,
    read_create=read_create,
    read_append=read_append,
    check_headers=lambda _method, headers: check_version(headers),
    build_created=build_created,
    build_appended=build_appended,
    build_inspected=build_inspected,
    build_terminated=build_terminated,
    build_discovered=build_discovered,
    build_refused=build_refused,
    features=tuple(row.name for row in EXTENSIONS),
    is_passing=is_passing,
)  # fmt: skip
