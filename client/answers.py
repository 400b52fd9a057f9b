"""Reads answers of a server that may be any: a status becomes a setback or an end, a header a value."""

import time
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz

import msgspec
from yarl import URL

from onward.client.errors import Gone, Interrupted, Refused
from onward.protocol.errors import Refusal
from onward.protocol.headers import parse_integer, parse_repr_digest

TRANSIENT = frozenset({408, 409, 423, 425, 429})
NOT_IMPLEMENTED = 501
MISMATCH = 460
ABSENT = frozenset({404, 410})
LONGEST_DETAIL = 200


class Problem(msgspec.Struct, frozen=True):
    """The part of a problem document (RFC 9457) that people read."""

    title: str = ""
    detail: str = ""


def judge(status: int, headers: Mapping[str, str], body: bytes, asked: str = "") -> None:
    """Pass what is a success; raises Interrupted, or Gone or Refused, which name what was `asked`."""
    if 200 <= status < 300:
        return
    sentence, place = f"the server answers {status}{_why(headers, body)}", f" ({asked})" if asked else ""
    if is_passing(status):
        raise Interrupted(sentence, retry_after(headers.get("Retry-After", "")))
    if status in ABSENT:
        raise Gone(sentence + place)
    raise Refused(sentence + place, status)


def is_passing(status: int) -> bool:
    """Tell whether asking again may help."""
    return status in TRANSIENT or (status >= 500 and status != NOT_IMPLEMENTED)


def _why(headers: Mapping[str, str], body: bytes) -> str:
    if location := headers.get("Location"):
        return f", and names {printable(location)}"
    try:
        problem = msgspec.json.decode(body, type=Problem)
        told = problem.detail or problem.title
    except msgspec.DecodeError:
        told = (
            body.decode("utf-8", "replace").strip() if headers.get("Content-Type", "").startswith("text/plain") else ""
        )
    return f": {printable(told)[:LONGEST_DETAIL].rstrip('.')}" if told else ""


def parse_url(text: str) -> URL:
    """Read a URL; raises Refused."""
    try:
        url = URL(text)
        (url.raw_host or "").encode("idna")  # fails where the resolver would, with another error than the others
    except ValueError as error:
        raise Refused(f"{text} is no URL: {error}") from None
    return url


def parse_target(text: str, *schemes: str) -> URL:
    """Read a URL that has one of these schemes and a host; raises Refused."""
    url = parse_url(text)
    if url.scheme not in schemes or not url.host:
        hint = "" if "://" in text else f"; did you mean http://{text}?"
        raise Refused(f"{text} is no URL of HTTP{hint}")
    return url


def shown(url: URL) -> str:
    """Give a URL for a sentence, without a password or a token in it."""
    return str(url.with_user(None).with_query(None))


def readable(name: str) -> str:
    """Make text of a file's name, which may be any bytes."""
    return name.encode(errors="backslashreplace").decode()


def printable(text: str) -> str:
    """Make a stranger's text safe for a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def retry_after(value: str) -> float:
    """Read Retry-After (RFC 9110, 10.2.3) as seconds from now; 0 where there is none, or none that can be read."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    parsed = parsedate_tz(value)
    return max(0.0, mktime_tz(parsed) - time.time()) if parsed else 0.0


def offset_of(headers: Mapping[str, str]) -> int | None:
    """Read Upload-Offset; None where there is none."""
    return _integer("Upload-Offset", headers)


def length_of(headers: Mapping[str, str]) -> int | None:
    """Read Upload-Length; None where there is none."""
    return _integer("Upload-Length", headers)


def _integer(name: str, headers: Mapping[str, str]) -> int | None:
    value = headers.get(name)
    try:
        return None if value is None else parse_integer(name, value)
    except Refusal as refusal:
        raise Refused(f"the server's answer is malformed: {refusal}") from None


def sha256_of(headers: Mapping[str, str]) -> bytes | None:
    """Read the SHA-256 of Repr-Digest; None where the server tells none that can be read."""
    value = headers.get("Repr-Digest")
    try:
        return None if value is None else parse_repr_digest(value)
    except Refusal:
        return None
