"""The seam of short files: one that is there as a whole is stored and published in one step, before it has a record.

The usual way records an upload first, and then its bytes in several steps. For a short file whose bytes have all
arrived, a store may have a shorter way, with the same order of what counts: bytes, then record.

    publish     the bytes get their final name, durable and read-only; the store also keeps a mark that it has no record
    (record)    inserted by the caller, as that of a completed upload
    recorded    the mark is removed, at leisure

A crash before the record leaves a published file with its mark. `Space.strays` names it, and the sweep removes both
once they are old, because no record has that id. A crash after the record leaves only the mark, which `Space.tidy`
removes. A published file without a mark is never touched, whatever the state says.

Nobody but the caller knows the id before it is recorded, so no lease is needed. The caller sees to it that its own
sweep leaves the file alone until it is recorded; where several servers share a state, this way is not used.
"""

from collections.abc import Callable
from typing import Protocol

from onward.protocol.model import Place, UploadId

SHORT = 2**16  # bytes; what a file may have at most


class ShortFiles(Protocol):
    """Whole files that are stored and published in one step. Every method may raise Unreachable."""

    async def publish(self, id: UploadId, data: bytes, check: Callable[[bytes], None]) -> Place | None:
        """Store and publish a whole file under a new id, durably, and return its final place; None if that can't be.

        `check` is called with the bytes before anything is written, in the same thread, and what it raises is raised.
        After an error nothing is left, or the mark is left too. Raises Full.
        """

    def recorded(self, id: UploadId) -> None:
        """Note that a published file has its record now; returns at once, and raises nothing."""
