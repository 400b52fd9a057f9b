"""The stored format of a record, the same in every store: one line of JSON and a check sum of it.

Called by the states and the backups. A record that was damaged on its medium is noticed when it is read. Records of
earlier versions are read as well: the oldest have no check sum, and some name a failure by its code alone.
"""

from zlib import crc32

import msgspec

from onward.protocol.model import CHECKSUM_MISMATCH, LOST, PART_GONE, TOO_LARGE, Upload
from onward.storage.base import Unreachable

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Upload)
_OLD_FAILURES = {failure.code: failure for failure in (CHECKSUM_MISMATCH, LOST, PART_GONE, TOO_LARGE)}


def encode(upload: Upload) -> bytes:
    """Build the stored form of a record: one line of JSON, then its CRC-32."""
    document = _encoder.encode(upload)
    return b"%b\n%08x" % (document, crc32(document))


def decode(stored: bytes | str) -> Upload:
    """Parse the stored form of a record; raises Unreachable if it is damaged."""
    try:
        document, line_end, total = (stored.encode() if isinstance(stored, str) else stored).partition(b"\n")
        if line_end and total != b"%08x" % crc32(document):
            raise Unreachable("a damaged record: its check sum is wrong")
        try:
            return _decoder.decode(document)
        except msgspec.ValidationError:
            return _decode_old(document)
    except (msgspec.MsgspecError, UnicodeError, AttributeError) as error:  # AttributeError if it is not even text
        raise Unreachable(f"a damaged record: {error}") from error


def _decode_old(document: bytes) -> Upload:
    """Parse a record whose failure is only a code; raises ValidationError if that is not what is wrong with it."""
    fields = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
    code = msgspec.json.decode(fields.get("failure", b"null"))
    if isinstance(code, str) and code in _OLD_FAILURES:
        fields["failure"] = msgspec.Raw(_encoder.encode(_OLD_FAILURES[code]))
    return _decoder.decode(_encoder.encode(fields))
