"""A record as JSON and back, checked: the one format of every store."""

import msgspec

from protocol.model import Upload
from storage.base import Unreachable

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Upload)


def encode(upload: Upload) -> bytes:
    """Write a record."""
    return _encoder.encode(upload)


def decode(document: bytes | str) -> Upload:
    """Read a record; raises Unreachable for one that is damaged."""
    try:
        return _decoder.decode(document)
    except msgspec.MsgspecError as error:
        raise Unreachable(f"a damaged record: {error}") from error
