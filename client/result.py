"""What came out: the server's SHA-256 beside ours."""

from dataclasses import dataclass

from onward.client.errors import Mismatch
from onward.client.model import Uploaded
from onward.client.progress import Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An upload that the server has whole, and the SHA-256 that it told."""

    url: str
    sha256: bytes | None
    resumed_from: int = 0


def judged(sent: Sent, sha256: bytes, meter: Meter, size: int) -> Uploaded:
    """Hold the server's SHA-256 against ours; raises Mismatch."""
    if sent.sha256 not in (None, sha256):
        raise Mismatch(f"{sent.url} has other bytes: the server tells another SHA-256 than {sha256.hex()}")
    return Uploaded(
        file_name=meter.file_name,
        url=sent.url,
        size=size,
        sha256=sha256.hex(),
        verified=sent.sha256 is not None,
        sent_bytes=meter.moved,
        resumed_from=sent.resumed_from,
    )
