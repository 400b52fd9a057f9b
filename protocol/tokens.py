"""The form of a token: three parts of base64url, of which the first two are JSON objects (RFC 7515, 7519).

It is read strictly, so that nothing can be read in two ways, and costs little for what is no token at all.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NamedTuple

from onward.protocol.errors import InvalidToken

LARGEST = 8000  # bytes; a longer one would not fit a header
LARGEST_HEADER = 2000
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)


class Told(NamedTuple):
    """What a token says about its signature, before that is verified."""

    # The name of an algorithm; only a key decides whether it is the right one.
    algorithm: str
    # The name of the key, or None.
    key_id: str | None


def read_header(token: str) -> Told:
    """Read how a token says that it is signed. Raises InvalidToken for a token that is malformed."""
    if len(token) > LARGEST or not _FORM.fullmatch(token):
        raise InvalidToken("The token is malformed.")
    header, payload, signature = token.split(".")
    if len(header) > LARGEST_HEADER:
        raise InvalidToken("The header of the token is too large.")
    for part in (payload, signature):
        _decode(part)
    told = read_object(_decode(header))
    algorithm, key_id = told.get("alg"), told.get("kid")
    if not isinstance(algorithm, str) or not isinstance(key_id, str | None):
        raise InvalidToken("The header of the token is malformed.")
    if "crit" in told:
        raise InvalidToken("The token has critical extensions, which are not supported.")
    return Told(algorithm, key_id)


def read_object(text: bytes) -> dict[str, Any]:
    """Read a JSON object in which no name occurs twice. Raises InvalidToken."""
    try:
        told = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise InvalidToken("The token is not JSON.") from None
    if not isinstance(told, dict):
        raise InvalidToken("The token is not a JSON object.")
    return told


def decode_base64url(text: str) -> bytes:
    """Read canonical base64url without padding (RFC 4648, 5). Raises ValueError."""
    decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if urlsafe_b64encode(decoded).decode().rstrip("=") != text:
        raise ValueError("this is not canonical base64url")
    return decoded


def _decode(part: str) -> bytes:
    try:
        return decode_base64url(part)
    except ValueError:  # also of binascii
        raise InvalidToken("The token is malformed.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) < len(pairs):
        raise ValueError("a name occurs twice")
    return told


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
