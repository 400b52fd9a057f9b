"""The dialect tus 1.0.0: a question read as a wish, and the headers of the answers.

What OPTIONS tells is made from the table of extensions.
"""

from msgspec import Struct

from onward.protocol.checksums import ALGORITHMS
from onward.protocol.dialects.dialect import Dialect, Headers, Request
from onward.protocol.errors import BadRequest, Forbidden, Locked, MediaType, VersionUnsupported
from onward.protocol.headers import (
    build_http_date,
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
PASSING = frozenset({408, 423, 425, 429})  # and all from 500 on


class Extension(Struct, frozen=True):
    """A row of the table: the name that OPTIONS tells, and the extension that it makes no sense without."""

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


def offers(limits: Limits, name: str) -> bool:
    """Tell whether an extension is offered, and so acted on."""
    if name == "expiration" and limits.expire_after is None:
        return False
    needed = _NEEDS[name]
    return name not in limits.without and (needed is None or offers(limits, needed))


def build_options_headers(limits: Limits) -> dict[str, str]:
    """Answer OPTIONS (tus 1.0.0, Core Protocol, OPTIONS)."""
    told = {"Tus-Resumable": VERSION, "Tus-Version": VERSION}
    if extensions := ",".join(row.name for row in EXTENSIONS if offers(limits, row.name)):
        told["Tus-Extension"] = extensions
    if offers(limits, "checksum"):
        told["Tus-Checksum-Algorithm"] = ",".join(ALGORITHMS)
    if limits.max_size is not None:
        told["Tus-Max-Size"] = str(limits.max_size)
    return told


def check_version(headers: Headers) -> None:
    """Refuse another version or none, on every method but OPTIONS; raises VersionUnsupported."""
    if headers.get("tus-resumable") != VERSION:
        raise VersionUnsupported(f"Tus-Resumable must be {VERSION}.", headers={"Tus-Version": VERSION})


def read_create(question: Request, limits: Limits) -> CreateRequest:
    """Read POST (creation, creation-with-upload, creation-defer-length, checksum, concatenation)."""
    headers = question.headers
    check_version(headers)
    has_body = question.has_body and offers(limits, "creation-with-upload")
    concat = _concat(question, limits)
    if concat and concat.role is Role.FINAL:
        if question.has_body:
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
        body_size=question.body_size if has_body else 0,
        has_body=has_body,
        checksum=_checksum(headers, limits) if has_body else None,
        concat=concat,
    )


def _length(headers: Headers, limits: Limits) -> int | None:
    length, deferred = headers.get("upload-length"), headers.get("upload-defer-length")
    if deferred is not None and not offers(limits, "creation-defer-length"):
        raise BadRequest("The length can't be deferred here.")
    if (length is None) == (deferred is None):
        raise BadRequest("Either Upload-Length or Upload-Defer-Length is needed.")
    if deferred is not None and deferred != "1":
        raise BadRequest("Upload-Defer-Length must be 1.")
    return None if length is None else parse_integer("Upload-Length", length)


def _concat(question: Request, limits: Limits) -> Concat | None:
    told = question.headers.get("upload-concat")
    if told is None or not offers(limits, "concatenation"):
        return None
    urls = parse_concat(told)
    if urls is None:
        return Concat(role=Role.PARTIAL, told=told)
    parts = tuple(parse_part(url, host=question.host, path=question.path) for url in urls)
    return Concat(role=Role.FINAL, told=told, parts=parts)


def _checksum(headers: Headers, limits: Limits) -> Checksum | None:
    if not offers(limits, "checksum"):
        return None
    if "upload-checksum" in headers.get("trailer", "").lower():
        raise BadRequest("A checksum can't be read from a trailer.")
    told = headers.get("upload-checksum")
    return None if told is None else parse_checksum(told)


def read_append(question: Request, limits: Limits) -> AppendRequest:
    """Read PATCH."""
    headers = question.headers
    check_version(headers)
    _check_content(headers)
    offset, length = headers.get("upload-offset"), headers.get("upload-length")
    if offset is None:
        raise BadRequest("Upload-Offset is needed.")
    return AppendRequest(
        offset=parse_integer("Upload-Offset", offset),
        length=None if length is None else parse_integer("Upload-Length", length),
        promised=_digest(headers),
        body_size=question.body_size,
        checksum=_checksum(headers, limits),
    )


def _digest(headers: Headers) -> bytes | None:
    value = headers.get("repr-digest")
    return None if value is None else parse_repr_digest(value)


def _check_content(headers: Headers) -> None:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise MediaType(f"Content-Type must be {CONTENT_TYPE}.")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise MediaType("A Content-Encoding can't be taken.")


def is_passing(status: int) -> bool:
    """Tell whether a request that is answered with a status may succeed later."""
    return status >= 500 or status in PASSING


def choose_status(status: int, for_offset: bool) -> int:
    """Give the status to refuse with; `for_offset` if the request asks, or may ask, for the offset of an upload.

    Chosen by what common clients do (docs/decisions.md, the table of clients): to tus-js-client and Uppy an upload is
    lost if HEAD is answered with anything but 2xx and 423, and they send the whole file again to a new one.
    """
    return Locked.status if for_offset and is_passing(status) else status


def build_upload_headers(upload: Upload) -> dict[str, str]:
    """Answer POST and PATCH: how far the upload is, and when it expires."""
    told = {"Tus-Resumable": VERSION}
    if upload.role is not Role.FINAL or upload.status is Status.COMPLETED:
        told["Upload-Offset"] = str(upload.offset)
    if upload.expires is not None:
        told["Upload-Expires"] = build_http_date(upload.expires)
    if upload.status is Status.COMPLETED and upload.sha256:
        told["Repr-Digest"] = build_repr_digest(upload.sha256)
    return told


def build_head_headers(upload: Upload) -> dict[str, str]:
    """Answer HEAD (tus 1.0.0, Core Protocol, HEAD)."""
    told = build_upload_headers(upload) | {"Cache-Control": "no-store"}
    if upload.length is not None:
        told["Upload-Length"] = str(upload.length)
    elif upload.role is not Role.FINAL:
        told["Upload-Defer-Length"] = "1"
    if upload.metadata is not None:
        told["Upload-Metadata"] = upload.metadata
    if upload.concat is not None:
        told["Upload-Concat"] = upload.concat.told
    return told


DIALECT = Dialect(
    name="tus 1.0.0",
    marker="Tus-Resumable",
    stamp={"Tus-Resumable": VERSION},
    sent_once=("upload-", "tus-", "content-", "repr-"),
    cors_requests=frozenset({
        "Content-Type", "Repr-Digest", "Tus-Resumable", "Upload-Checksum", "Upload-Concat", "Upload-Defer-Length",
        "Upload-Length", "Upload-Metadata", "Upload-Offset", "X-HTTP-Method-Override",
    }),
    cors_replies=frozenset({
        "Location", "Repr-Digest", "Tus-Checksum-Algorithm", "Tus-Extension", "Tus-Max-Size", "Tus-Resumable",
        "Tus-Version", "Upload-Concat", "Upload-Defer-Length", "Upload-Expires", "Upload-Length", "Upload-Metadata",
        "Upload-Offset",
    }),
    read_create=read_create,
    read_append=read_append,
    check_version=check_version,
    build_upload_headers=build_upload_headers,
    build_head_headers=build_head_headers,
    build_options_headers=build_options_headers,
    features=tuple(row.name for row in EXTENSIONS),
    offers=offers,
    is_passing=is_passing,
    choose_status=choose_status,
)  # fmt: skip
