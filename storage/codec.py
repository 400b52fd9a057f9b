"""A record as JSON with a check sum and back, checked: the one format of every store."""

from zlib import crc32

import msgspec

from onward.protocol.model import Upload
from onward.storage.base import Unreachable

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Upload)


def encode(upload: Upload) -> bytes:
    """Write a record: one line of JSON, then its CRC-32."""
    document = _encoder.encode(upload)
    return b"%b\n%08x" % (document, crc32(document))


def decode(stored: bytes | str) -> Upload:
    """Read a record, also one of before there were check sums; raises Unreachable for one that is damaged."""
    try:
        document, line_end, total = (stored.encode() if isinstance(stored, str) else stored).partition(b"\n")
        if line_end and total != b"%08x" % crc32(document):
            raise Unreachable("a damaged record: its check sum is another")
        return _decoder.decode(document)
    except (msgspec.MsgspecError, UnicodeError, AttributeError) as error:  # the last for what is not even text
        raise Unreachable(f"a damaged record: {error}") from error
