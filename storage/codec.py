"""The stored format of a record, the same in every store: one line of JSON and a check sum of it.

Called by the states and the backups. A record that was damaged on its medium is noticed when it is read.
"""

from zlib import crc32

import msgspec

from onward.protocol.model import Upload
from onward.storage.base import Unreachable

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Upload)


def encode(upload: Upload) -> bytes:
    """Build the stored form of a record: one line of JSON, then its CRC-32."""
    document = _encoder.encode(upload)
    return b"%b\n%08x" % (document, crc32(document))


def decode(stored: bytes | str) -> Upload:
    """Parse the stored form of a record; raises Unreachable if it is damaged. Old records have no check sum."""
    try:
        document, line_end, total = (stored.encode() if isinstance(stored, str) else stored).partition(b"\n")
        if line_end and total != b"%08x" % crc32(document):
            raise Unreachable("a damaged record: its check sum is wrong")
        return _decoder.decode(document)
    except (msgspec.MsgspecError, UnicodeError, AttributeError) as error:  # AttributeError if it is not even text
        raise Unreachable(f"a damaged record: {error}") from error
