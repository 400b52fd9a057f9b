"""The seam of the hints: which completed upload had certain contents last, for `--duplicates share`.

A hint may be lost at any time, and may name an upload that has ended since. So whoever gets one loads that record, and
believes only that. The key says whose contents they are, and which (`server/uploads/duplicates.py`).
"""

from typing import Protocol

from onward.protocol.model import UploadId


class Hints(Protocol):
    """Hints, each under its key. Every method may raise Unreachable, and Full if it writes."""

    async def get(self, key: str) -> UploadId | None:
        """Return the upload that was put under a key last; None if there is none."""

    async def put(self, key: str, id: UploadId | None) -> None:
        """Replace the hint under a key, or remove it. Not durable: a power cut may bring the former one back."""
