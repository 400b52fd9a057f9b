"""Plain requests: how uploads are read that are made in one request, without any protocol: PUT of a file.

`server/http/put.py` calls it, and gets the same `CreateRequest` that a dialect reads. A file name of a client
becomes metadata, and is made safe only where it becomes a part of a path (naming.py). What no file can be called is
refused here, so that the name that is told is one that people can use.
"""

from unicodedata import category
from urllib.parse import unquote_to_bytes

from onward.protocol.dialects import Request
from onward.protocol.errors import BadRequest, MediaType, PreconditionFailed
from onward.protocol.headers import build_metadata, parse_repr_digest
from onward.protocol.model import CreateRequest

MOST_NAME = 1000  # bytes of a file name
MOST_TYPE = 255  # bytes of a media type
DIGESTS = ("Repr-Digest", "Content-Digest")


def read_put(request: Request, segment: bytes) -> CreateRequest:
    """Read PUT; `segment` is the last one of the path, as it was sent. Raises ClientFault.

    No file is ever replaced: each PUT makes another upload. So If-None-Match always holds, and If-Match never does.
    """
    headers = request.headers
    pairs = {"filename": parse_segment(segment).encode()}
    if "content-range" in headers:
        raise BadRequest("A PUT brings a whole file, so it can't have a Content-Range.")
    if "if-match" in headers:
        raise PreconditionFailed
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise MediaType("A Content-Encoding is not supported.")
    if media_type := plain_type(headers.get("content-type", "")):
        pairs["filetype"] = media_type
    digests = {parse_repr_digest(headers[name.lower()], name) for name in DIGESTS if name.lower() in headers} - {None}
    if len(digests) > 1:
        raise BadRequest("Repr-Digest and Content-Digest differ.")
    return CreateRequest(
        length=request.body_size,
        metadata=build_metadata(pairs),
        promised=next(iter(digests), None),
        body_size=request.body_size,
        has_body=request.has_body,
        in_one_request=True,
    )


def parse_segment(segment: bytes) -> str:
    """Read a file name from one segment of a path, which may be percent-encoded. Raises BadRequest."""
    raw = unquote_to_bytes(segment)
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise BadRequest("A file name must be UTF-8.") from None
    if name in (".", "..") or "/" in name or any(category(letter) == "Cc" for letter in name):
        raise BadRequest("A file name must be one segment of a path, without control characters.")
    if not 0 < len(raw) <= MOST_NAME:
        raise BadRequest(f"A file name has 1 to {MOST_NAME} bytes.")
    return name


def plain_type(value: str) -> bytes:
    """Return the media type that a client states, as it wrote it; empty if it is too long or not plain ASCII."""
    value = value.strip()
    return value.encode() if value.isascii() and value.isprintable() and len(value) <= MOST_TYPE else b""
