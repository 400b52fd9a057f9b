"""The grammar of header values: parse_x reads a value, build_x writes one. Every parse_x raises BadRequest.

The dialects, downloads and watching use it, and so does the client. Behind it there are values instead of strings,
except for the metadata, which is kept and returned as the client wrote it.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote, urlsplit

from onward.protocol.checksums import ALGORITHMS
from onward.protocol.errors import BadRequest, MethodNotAllowed, RangeUnsatisfiable, Refusal
from onward.protocol.model import ID_PATTERN, Checksum, UploadId

MAX_INTEGER = 2**63 - 1
MAX_METADATA = 4096
MAX_METADATA_KEYS = 32
SHA256_SIZE = 32

_INTEGER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_COMMA = re.compile(r",[ \t]*", re.ASCII)
_METADATA_KEY = re.compile(r"[!-+\--~]+", re.ASCII)
_HEX_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_DIGEST_MEMBER = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):", re.ASCII)
_FINAL = re.compile(r"final; *([!-~]+(?: +[!-~]+)*)", re.ASCII)
_PART_PATH = re.compile(rf"((?:/[A-Za-z0-9._~-]+)*)/({ID_PATTERN})", re.ASCII)
_UPLOAD_ID = re.compile(ID_PATTERN, re.ASCII)
_RANGE = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})", re.ASCII)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def parse_integer(name: str, value: str) -> int:
    """Read a non-negative integer below 2^63 (tus 1.0.0: Upload-Offset, Upload-Length)."""
    if not _INTEGER.fullmatch(value) or int(value) > MAX_INTEGER:
        raise BadRequest(f"{name} must be a non-negative integer.")
    return int(value)


def parse_base64(what: str, value: str) -> bytes:
    """Read canonical Base64 (RFC 4648, 4)."""
    try:
        decoded = b64decode(value, validate=True)
    except (Base64Error, ValueError):
        raise BadRequest(f"{what} must be Base64.") from None
    if b64encode(decoded).decode() != value:
        raise BadRequest(f"{what} must be canonical Base64.")
    return decoded


def parse_metadata(value: str) -> dict[str, bytes]:
    """Read Upload-Metadata (tus 1.0.0, creation): comma-separated pairs of a key and a Base64 value.

    Some clients write a space behind each comma, as in other lists of HTTP (RFC 9110, 5.6.1).
    """
    if not value:
        return {}
    if len(value) > MAX_METADATA:
        raise BadRequest(f"Upload-Metadata must not exceed {MAX_METADATA} bytes.")
    pairs: dict[str, bytes] = {}
    for pair in _COMMA.split(value):
        key, _, encoded = pair.partition(" ")
        if not _METADATA_KEY.fullmatch(key):
            raise BadRequest("A key of Upload-Metadata must be visible ASCII, not empty.")
        if key in pairs:
            raise BadRequest("A key of Upload-Metadata must be unique.")
        pairs[key] = parse_base64("A value of Upload-Metadata", encoded)
    if len(pairs) > MAX_METADATA_KEYS:
        raise BadRequest(f"Upload-Metadata must not have more than {MAX_METADATA_KEYS} keys.")
    return pairs


def is_metadata_key(text: str) -> bool:
    """Return whether a text can be a key of Upload-Metadata."""
    return _METADATA_KEY.fullmatch(text) is not None


def build_metadata(pairs: dict[str, bytes]) -> str:
    """Write Upload-Metadata. A pair with an empty value is written as its key alone."""
    return ",".join(f"{key} {b64encode(value).decode()}" if value else key for key, value in pairs.items())


def parse_hex_sha256(value: bytes) -> bytes:
    """Read the metadata value `sha256`: 64 hex digits."""
    text = value.decode("latin-1")
    if not _HEX_SHA256.fullmatch(text):
        raise BadRequest("The metadata value sha256 must be 64 hex digits.")
    return bytes.fromhex(text)


def parse_repr_digest(value: str, name: str = "Repr-Digest") -> bytes | None:
    """Read the sha-256 of Repr-Digest or Content-Digest (RFC 9530). Other algorithms are ignored, as it allows."""
    found = None
    for member in value.split(","):
        match = _DIGEST_MEMBER.fullmatch(member.strip(" \t"))
        if not match:
            raise BadRequest(f"{name} must be a dictionary of byte sequences.")
        if match[1] == "sha-256":
            digest = parse_base64(f"The sha-256 of {name}", match[2])
            if len(digest) != SHA256_SIZE or found not in (None, digest):
                raise BadRequest(f"The sha-256 of {name} must have 32 bytes, and be one.")
            found = digest
    return found


def parse_checksum(value: str) -> Checksum:
    """Read Upload-Checksum (tus 1.0.0, checksum): the name of an algorithm and the Base64 of its digest."""
    name, _, encoded = value.partition(" ")
    if name not in ALGORITHMS:
        raise BadRequest(f"Upload-Checksum knows {', '.join(ALGORITHMS)}.")
    digest = parse_base64("The digest of Upload-Checksum", encoded)
    if len(digest) != ALGORITHMS[name].size:
        raise BadRequest(f"A digest of {name} has {ALGORITHMS[name].size} bytes.")
    return Checksum(algorithm=name, digest=digest)


def build_checksum(checksum: Checksum) -> str:
    """Write Upload-Checksum."""
    return f"{checksum.algorithm} {b64encode(checksum.digest).decode()}"


def parse_concat(value: str) -> tuple[str, ...] | None:
    """Read Upload-Concat (tus 1.0.0, concatenation). Return None for `partial`, the URLs of the parts for `final`."""
    if value == "partial":
        return None
    match = _FINAL.fullmatch(value)
    if not match:
        raise BadRequest("Upload-Concat must be partial, or final; with the URLs of partial uploads.")
    return tuple(match[1].split())


def parse_part(url: str, *, host: str | None, path: str) -> UploadId:
    """Read the id in the URL of an upload below `path`. An absolute URL must name `host`, unless that is None."""
    try:
        parsed = urlsplit(url)
    except ValueError:
        raise BadRequest("Upload-Concat names something that is no URL.") from None
    match = _PART_PATH.fullmatch("/" + parsed.path.lstrip("/"))
    if parsed.scheme not in ("", "http", "https"):
        raise BadRequest("Upload-Concat names something that is no URL of HTTP.")
    ours = not parsed.netloc or host is None or _plain_host(parsed.netloc) == _plain_host(host)
    if not match or not match[1].endswith(path) or not ours:
        raise BadRequest("Upload-Concat names something that is no upload of this server.")
    return UploadId(match[2])


def _plain_host(host: str) -> str:
    return re.sub(r":(80|443)$", "", host.lower())


def build_concat(urls: tuple[str, ...] | None) -> str:
    """Write Upload-Concat."""
    return "partial" if urls is None else f"final;{' '.join(urls)}"


def build_repr_digest(sha256: bytes) -> str:
    """Write Repr-Digest with a SHA-256 (RFC 9530, 3)."""
    return f"sha-256=:{b64encode(sha256).decode()}:"


def build_http_date(seconds: float) -> str:
    """Write an IMF-fixdate (RFC 9110, 5.6.7) from seconds since the epoch."""
    return _http_date(int(seconds))


@lru_cache(1024)
def _http_date(seconds: int) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at:%Y %H:%M:%S} GMT"


def parse_range(value: str, size: int) -> tuple[int, int] | None:
    """Read a Range of one part as [start, stop). Return None if the whole file is the reply (RFC 9110, 14.2).

    Raises RangeUnsatisfiable.
    """
    match = _RANGE.fullmatch(value)
    if not match or match[0] == "bytes=-":
        return None
    first, last = match[1], match[2]
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        raise RangeUnsatisfiable(size=size)
    return start, stop


def build_disposition(kind: str, file_name: str | None) -> str:
    """Write Content-Disposition (RFC 6266, 4) for any file name, with an ASCII version for old clients.

    `kind` is `attachment`, or `inline` for a file that browsers may show.
    """
    if not file_name:
        return kind
    plain = re.sub(r'[^ -~]|["\\%/]', "_", file_name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='', errors='replace')}"


def parse_retry_after(value: str, now: float) -> float:
    """Read Retry-After, seconds or a date (RFC 9110, 10.2.3), as seconds from `now`; 0 if it can't be read."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(parsedate_to_datetime(value).timestamp() - now, 0.0)
    except (ValueError, OverflowError):  # OverflowError from a year that no date can have
        return 0.0


def parse_upload_ids(words: Sequence[str], most: int) -> list[UploadId]:
    """Read the ids of the uploads that a request is about, at most `most`. Each is returned once."""
    ids = list(dict.fromkeys(words))
    if not 0 < len(ids) <= most or not all(_UPLOAD_ID.fullmatch(id_) for id_ in ids):
        raise BadRequest(f"1 to {most} ids of uploads are needed.")
    return [UploadId(id_) for id_ in ids]


def build_refusal_headers(refusal: Refusal) -> dict[str, str]:
    """Write the values of a refusal for which HTTP itself has headers, the same in every dialect."""
    headers = dict(refusal.headers)
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if isinstance(refusal, MethodNotAllowed):
        headers["Allow"] = ",".join(refusal.allowed)
    elif isinstance(refusal, RangeUnsatisfiable):
        headers["Content-Range"] = f"bytes */{refusal.size}"
    return headers


def matches_etag(value: str, etag: str) -> bool:
    """Return whether If-None-Match names an entity tag (RFC 9110, 13.1.2: by weak comparison)."""
    tags = [word.strip().removeprefix("W/") for word in value.split(",")]
    return etag in tags or tags == ["*"]
