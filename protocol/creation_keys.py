"""Keys of creations: a creation that is repeated with the same Idempotency-Key finds the upload that it made before.

A client that gets no answer to a creation can't know whether there is an upload now. With a key it may ask again. The
server remembers, for KEPT seconds, which upload a key stands for, and what the request said. Keys belong to the owner
who sent them, and only their hashes are kept. `server/uploads/create_once.py` acts on them, for every way of creating.
"""

import hashlib
import re
from collections.abc import Sequence

from onward.protocol.errors import BadRequest
from onward.protocol.model import CreateRequest, CreationKey

HEADER = "Idempotency-Key"
KEPT = 86400.0  # seconds
DIGITS = 32  # hex digits of a hash that are kept
_BARE = re.compile(r"[!-~]{1,255}", re.ASCII)
_QUOTED = re.compile(r'"((?:[!#-\[\]-~]|\\["\\])*)"', re.ASCII)
_ESCAPED = re.compile(r'\\(["\\])', re.ASCII)


def parse_key(values: Sequence[str]) -> str | None:
    """Read the values of the header Idempotency-Key; None if there is none. Raises BadRequest.

    A key is 1 to 255 visible ASCII characters. It may be written as a string of RFC 9651, in quotes, as the draft of
    the header wants it; that is the same key as the one without the quotes.
    """
    if not values:
        return None
    if len(values) > 1:
        raise BadRequest(f"{HEADER} was sent twice.")
    key = values[0].strip(" \t")
    if key.startswith('"'):
        quoted = _QUOTED.fullmatch(key)
        key = _ESCAPED.sub(r"\1", quoted[1]) if quoted else ""
    if not _BARE.fullmatch(key):
        raise BadRequest(f"{HEADER} must be 1 to 255 visible ASCII characters, with or without quotes around them.")
    return key


def build_creation_key(key: str, owner: str | None, asked: CreateRequest) -> CreationKey:
    """Return what is remembered of a key: its hash together with its owner, and the hash of what the client asked for.

    `asked` is the request as the client wrote it, before an application has changed anything in it.
    """
    said = (asked.length, asked.metadata, asked.promised, asked.concat and asked.concat.told)
    return CreationKey(hash=_hash((owner, key)), request=_hash(said))


def _hash(values: Sequence[object]) -> str:
    return hashlib.sha256(repr(tuple(values)).encode()).hexdigest()[:DIGITS]
