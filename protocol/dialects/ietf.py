"""The dialect of the IETF draft "Resumable Uploads for HTTP": how its requests are read, and the table of its versions.

The draft counts its interop versions, and clients name the one that they speak. VERSIONS says in what they differ;
DIALECTS, at the end, has a dialect for each of them, and a last one for a version that is not known, or for none:
it is served like the newest, but without informational replies. `ietf_replies.py` writes the replies.
"""

from functools import partial

from onward.protocol.dialects.dialect import Dialect, Headers, Request
from onward.protocol.dialects.ietf_replies import (
    CORS_REPLIES,
    MEDIA_TYPE,
    VERSION,
    Version,
    build_appended,
    build_created,
    build_described,
    build_discovered,
    build_inspected,
    build_interim,
    build_refused,
    build_terminated,
)
from onward.protocol.disposition import decode_raw, parse_file_name
from onward.protocol.errors import BadRequest, InconsistentLength, MediaType
from onward.protocol.headers import MAX_METADATA, build_metadata, parse_repr_digest
from onward.protocol.model import AppendRequest, CreateRequest, Limits
from onward.protocol.structured_fields import parse_boolean, parse_count

VERSIONS = (
    Version(  # drafts -04 and -05
        number=6,
        lifetime=("expires", "max-age"),
        continues_with=201,
        implies_complete=True,
        refuses_fields=True,
        excess_fails=False,
        more_data=400,
    ),
    Version(number=8),  # drafts -09 to -11
    Version(number=9),  # draft -12
    Version(number=10),  # draft -13
    Version(number=None),
)
_FEATURES = {"DELETE": "termination", "POST": "creation", "PUT": "creation"}  # what an operator may switch off
_PASSING = frozenset({408, 423, 425, 429})  # statuses after which a retry may succeed, and all from 500 on


def claims(version: Version, method: str, headers: Headers) -> bool:
    """Return whether a request names this version; the last of the table claims all other requests of the draft."""
    stated = headers.get(VERSION)
    if version.number is not None:
        return stated is not None and parse_count(stated) == version.number
    if stated is not None or parse_boolean(headers.get("Upload-Complete")) is not None:
        return True
    return method == "PATCH" and _is_partial(headers.get("Content-Type", ""))


def _is_partial(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == MEDIA_TYPE


def offers_method(method: str, limits: Limits) -> bool:
    """Return whether a method is offered. The draft has no extensions; what is switched off for tus is off here too."""
    return _FEATURES.get(method) not in limits.without


def read_create(version: Version, request: Request, _limits: Limits) -> CreateRequest:
    """Read POST, and PUT with the name of the file in its URL. Raises BadRequest."""
    headers = request.headers
    completes = parse_boolean(headers.get("upload-complete"))
    if completes is None:
        raise BadRequest("Upload-Complete must be ?1 or ?0.")
    length = parse_count(headers.get("upload-length"))
    if completes and request.body_size is not None:
        if length not in (None, request.body_size):
            raise InconsistentLength(f"Upload-Length is {length}, but the body has {request.body_size} bytes.")
        length = request.body_size
    return CreateRequest(
        length=length,
        metadata=_metadata(request),
        promised=_digest(headers),
        body_size=request.body_size,
        has_body=request.has_body,
        completes=completes,
        needs_end=True,
        excess_fails=version.excess_fails,
    )


def _metadata(request: Request) -> str | None:
    """Return what the creation says about the file, as the metadata that tus has for it."""
    headers = request.headers
    described = {
        "filename": request.name or parse_file_name(headers.get("content-disposition", "")),
        "filetype": decode_raw(headers.get("content-type", "")),
        "contentencoding": decode_raw(headers.get("content-encoding", "")),
    }
    metadata = build_metadata({key: value.encode() for key, value in described.items() if value})
    if len(metadata) > MAX_METADATA:
        raise BadRequest("Content-Disposition and Content-Type are too long.")
    return metadata or None


def _digest(headers: Headers) -> bytes | None:
    value = headers.get("repr-digest")
    return None if value is None else parse_repr_digest(value)


def read_append(version: Version, request: Request, _limits: Limits) -> AppendRequest:
    """Read PATCH. Raises BadRequest and MediaType."""
    headers = request.headers
    if not _is_partial(headers.get("content-type", "")):
        raise MediaType(f"Content-Type must be {MEDIA_TYPE}.")
    offset, completes = parse_count(headers.get("upload-offset")), parse_boolean(headers.get("upload-complete"))
    if offset is None:
        raise BadRequest("Upload-Offset must be a non-negative integer.")
    if completes is None:
        if not version.implies_complete or "upload-complete" in headers:
            raise BadRequest("Upload-Complete must be ?1 or ?0.")
        completes = True
    return AppendRequest(
        offset=offset,
        length=parse_count(headers.get("upload-length")),
        promised=_digest(headers),
        body_size=request.body_size,
        completes=completes,
        needs_end=True,
        excess_fails=version.excess_fails,
    )


def check_headers(version: Version, method: str, headers: Headers) -> None:
    """Refuse HEAD and DELETE with fields of other requests, as interop version 6 demands. Raises BadRequest."""
    if not version.refuses_fields:
        return
    stated = parse_count(headers.get("upload-offset")), parse_boolean(headers.get("upload-complete"))
    length = parse_count(headers.get("upload-length")) if method == "HEAD" else None
    if (*stated, length) != (None, None, None):
        raise BadRequest(f"{method} has no Upload-Offset, Upload-Complete or Upload-Length.")


def is_passing(status: int) -> bool:
    """Return whether a request that is answered with this status may succeed later."""
    return status >= 500 or status in _PASSING


def _dialect(version: Version) -> Dialect:
    known = version.number is not None
    return Dialect(
        name=f"IETF draft, interop version {version.number}" if known else "IETF draft",
        signs=(VERSION,) if known else (VERSION, "Upload-Complete", "Content-Type"),
        claims=partial(claims, version),
        stamp={VERSION: str(version.number)} if known else {},
        sent_once=("content-",),
        cors_requests=frozenset({
            "Content-Disposition", "Content-Encoding", "Content-Type", "Repr-Digest", "Upload-Complete", VERSION,
            "Upload-Length", "Upload-Offset",
        }),
        cors_replies=CORS_REPLIES,
        find_method=lambda method, _headers: method,
        offers_method=offers_method,
        read_create=partial(read_create, version),
        read_append=partial(read_append, version),
        check_headers=partial(check_headers, version),
        build_created=partial(build_created, version),
        build_appended=partial(build_appended, version),
        build_inspected=partial(build_inspected, version),
        build_terminated=build_terminated,
        build_discovered=partial(build_discovered, version),
        build_refused=partial(build_refused, version),
        build_interim=partial(build_interim, version) if known else None,
        build_described=partial(build_described, version),
        features=(),
        is_passing=is_passing,
        last_byte_finishes=False,
        tells_when_refused=True,
    )  # fmt: skip


DIALECTS = tuple(map(_dialect, VERSIONS))
