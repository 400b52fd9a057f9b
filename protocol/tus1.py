"""The dialect tus 1.0.0: a question read as a wish, and the headers of the answers.

What OPTIONS tells is made from the table of extensions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from protocol.errors import BadRequest, MediaType, VersionUnsupported
from protocol.headers import (
    build_http_date,
    build_repr_digest,
    parse_hex_sha256,
    parse_integer,
    parse_metadata,
    parse_repr_digest,
)
from protocol.model import Append, Create, Limits, Status, Upload

VERSION = "1.0.0"
CONTENT_TYPE = "application/offset+octet-stream"

Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a request asks: its headers with lower-case names, and what is known of its body."""

    headers: Headers
    body_size: int | None
    has_body: bool


@dataclass(frozen=True, slots=True)
class Extension:
    """A row of the table: the name that OPTIONS tells, and whether these limits offer it."""

    name: str
    offered: Callable[[Limits], bool] = lambda _: True


EXTENSIONS = (
    Extension("creation"),
    Extension("creation-with-upload"),
    Extension("creation-defer-length"),
    Extension("termination"),
    Extension("expiration", lambda limits: limits.expire_after is not None),
)


def discovery(limits: Limits) -> dict[str, str]:
    """Answer OPTIONS (tus 1.0.0, Core Protocol, OPTIONS)."""
    extensions = ",".join(row.name for row in EXTENSIONS if row.offered(limits))
    told = {"Tus-Resumable": VERSION, "Tus-Version": VERSION, "Tus-Extension": extensions}
    return told if limits.max_size is None else told | {"Tus-Max-Size": str(limits.max_size)}


def check_version(headers: Headers) -> None:
    """Refuse another version or none, on every method but OPTIONS; raises VersionUnsupported."""
    if headers.get("tus-resumable") != VERSION:
        raise VersionUnsupported(f"Tus-Resumable must be {VERSION}.", headers={"Tus-Version": VERSION})


def read_create(question: Question) -> Create:
    """Read POST (creation, creation-with-upload, creation-defer-length)."""
    headers = question.headers
    check_version(headers)
    if question.has_body:
        _check_content(headers)
    length, deferred = headers.get("upload-length"), headers.get("upload-defer-length")
    if (length is None) == (deferred is None):
        raise BadRequest("Either Upload-Length or Upload-Defer-Length is needed.")
    if deferred is not None and deferred != "1":
        raise BadRequest("Upload-Defer-Length must be 1.")
    metadata = headers.get("upload-metadata")
    named = parse_metadata(metadata or "").get("sha256")
    promises = {_digest(headers), None if named is None else parse_hex_sha256(named)} - {None}
    if len(promises) > 1:
        raise BadRequest("The metadata sha256 and Repr-Digest differ.")
    return Create(
        length=None if length is None else parse_integer("Upload-Length", length),
        metadata=metadata or None,
        promised=next(iter(promises), None),
        body_size=question.body_size if question.has_body else 0,
        has_body=question.has_body,
    )


def read_append(question: Question) -> Append:
    """Read PATCH."""
    headers = question.headers
    check_version(headers)
    _check_content(headers)
    offset, length = headers.get("upload-offset"), headers.get("upload-length")
    if offset is None:
        raise BadRequest("Upload-Offset is needed.")
    return Append(
        offset=parse_integer("Upload-Offset", offset),
        length=None if length is None else parse_integer("Upload-Length", length),
        promised=_digest(headers),
        body_size=question.body_size,
    )


def _digest(headers: Headers) -> bytes | None:
    value = headers.get("repr-digest")
    return None if value is None else parse_repr_digest(value)


def _check_content(headers: Headers) -> None:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise MediaType(f"Content-Type must be {CONTENT_TYPE}.")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise MediaType("A Content-Encoding can't be taken.")
    if headers.get("transfer-encoding", "chunked").strip().lower() != "chunked":
        raise MediaType("No Transfer-Encoding but chunked can be taken.")


def tell_stored(upload: Upload) -> dict[str, str]:
    """Answer POST and PATCH: how far the upload is, and when it expires."""
    told = {"Tus-Resumable": VERSION, "Upload-Offset": str(upload.offset)}
    if upload.expires is not None:
        told["Upload-Expires"] = build_http_date(upload.expires)
    if upload.status is Status.COMPLETED and upload.sha256:
        told["Repr-Digest"] = build_repr_digest(upload.sha256)
    return told


def tell_state(upload: Upload) -> dict[str, str]:
    """Answer HEAD (tus 1.0.0, Core Protocol, HEAD)."""
    told = tell_stored(upload) | {"Cache-Control": "no-store"}
    told |= {"Upload-Defer-Length": "1"} if upload.length is None else {"Upload-Length": str(upload.length)}
    return told if upload.metadata is None else told | {"Upload-Metadata": upload.metadata}
