"""What an answer of the server means: its status is a success, a setback or the end; its headers are values.

The server may be any server of tus 1.0.0, so nothing in an answer is trusted. `connection.py` and `watch_upload.py`
pass every answer through `judge`.
"""

import re
import time
from collections.abc import Mapping

import msgspec

from onward.client.errors import Interrupted, Refused, Rejected, UploadMissing
from onward.client.model import MessageError
from onward.client.text import printable
from onward.protocol.errors import Refusal
from onward.protocol.headers import parse_integer, parse_repr_digest, parse_retry_after

TRANSIENT = frozenset({408, 409, 423, 425, 429})
UNAUTHORIZED = 401
NOT_IMPLEMENTED = 501
MISMATCH = 460  # the server's status for bytes with another SHA-256 than the client has promised
GONE = 410
ABSENT = frozenset({404, GONE})
OF_CONTENT = frozenset({415, 422})  # the server does not accept what the file contains
LOST_BY_SERVER = frozenset({"lost", "part-gone"})  # codes of failures for which nobody refuses the file
LONGEST_DETAIL = 200  # characters of the server's reason that are shown
_MOST = re.compile(r"(?:^|,)[ \t]*max-append-size=([0-9]{1,15})(?=[ \t]*(?:[,;]|$))", re.ASCII)


class Problem(msgspec.Struct, frozen=True):
    """The part of a problem document (RFC 9457) that people read."""

    title: str = ""
    detail: str = ""


def judge(status: int, headers: Mapping[str, str], body: bytes, request: str = "") -> None:
    """Return for a success; raises Interrupted, UploadMissing or Refused, with a sentence that names the request."""
    if 200 <= status < 300:
        return
    sentence, place = f"the server answers {status}{_reason(status, headers, body)}", f" ({request})" if request else ""
    if status == UNAUTHORIZED and _lacks_token(headers.get("WWW-Authenticate", "")):
        sentence += "; give one with --token or ONWARD_TOKEN"
    if is_transient(status):
        raise Interrupted(sentence, parse_retry_after(headers.get("Retry-After", ""), time.time()))
    if status in ABSENT:
        raise UploadMissing(sentence + place)
    raise (Rejected if status in OF_CONTENT else Refused)(sentence + place, status)


def _lacks_token(challenge: str) -> bool:
    """Return whether a server wants a token and got none: it names an error only for a token (RFC 6750, 3)."""
    return challenge.startswith("Bearer") and "error=" not in challenge


class _Outcome(msgspec.Struct, frozen=True):
    """The part of a progress message that says how an upload has ended."""

    status: str
    error: MessageError | None = None


def judge_outcome(progress: bytes) -> None:
    """Raise Rejected if an upload that is gone has failed by its content; any other progress says nothing here."""
    try:
        outcome = msgspec.json.decode(progress, type=_Outcome)
    except msgspec.DecodeError:
        return
    if outcome.status == "failed" and outcome.error and outcome.error.code not in LOST_BY_SERVER:
        status = MISMATCH if outcome.error.code == "checksum-mismatch" else GONE
        raise Rejected(f"the server has refused it: {printable(outcome.error.title)[:LONGEST_DETAIL]}", status)


def is_transient(status: int) -> bool:
    """Return whether asking again may help."""
    return status in TRANSIENT or (status >= 500 and status != NOT_IMPLEMENTED)


def _reason(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Return the server's own reason: where it redirects to, its problem document, or its plain text."""
    if 300 <= status < 400 and (location := headers.get("Location")):
        return f", and redirects to {printable(location)}"
    try:
        problem = msgspec.json.decode(body, type=Problem)
        reason = problem.detail or problem.title
    except msgspec.DecodeError:
        is_text = headers.get("Content-Type", "").startswith("text/plain")
        reason = body.decode("utf-8", "replace").strip() if is_text else ""
    return f": {printable(reason)[:LONGEST_DETAIL].rstrip('.')}" if reason else ""


def parse_offset(headers: Mapping[str, str]) -> int | None:
    """Read Upload-Offset, None if there is none; raises Refused if it is malformed."""
    return _integer("Upload-Offset", headers)


def parse_length(headers: Mapping[str, str]) -> int | None:
    """Read Upload-Length, None if there is none; raises Refused if it is malformed."""
    return _integer("Upload-Length", headers)


def _integer(name: str, headers: Mapping[str, str]) -> int | None:
    value = headers.get(name)
    try:
        return None if value is None else parse_integer(name, value)
    except Refusal as refusal:
        raise Refused(f"the server's answer is malformed: {refusal}") from None


def parse_most(headers: Mapping[str, str]) -> int | None:
    """Read the largest body of one request from Upload-Limit (the IETF draft); None if there is no such limit."""
    found = _MOST.search(headers.get("Upload-Limit", ""))
    return int(found[1]) or None if found else None


def parse_sha256(headers: Mapping[str, str]) -> bytes | None:
    """Read the SHA-256 of Repr-Digest; None if the server states none that can be read."""
    value = headers.get("Repr-Digest")
    try:
        return None if value is None else parse_repr_digest(value)
    except Refusal:
        return None
