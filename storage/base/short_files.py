"""The seam of short files: one whose bytes are all there is stored and published in one step.

The slow path records an upload first, and then its bytes in several steps. For a short file whose bytes have all
arrived, a store may have a fast path, with the same order of what counts: bytes, then record.

A new upload, which has no record yet:

    publish     the bytes get their final name, durable and read-only; the store also keeps a mark that it has no record
    (record)    inserted by the caller, as that of a completed upload
    recorded    the mark is removed, at leisure

A crash before the record leaves a published file with its mark. `Space.strays` names it, and the sweep removes both
once they are old, because no record has that id. A crash after the record leaves only the mark, which `Space.tidy`
removes. A published file without a mark is never touched, whatever the state says.

Nobody but the caller knows the id before it is recorded, so no lease is needed. The caller sees to it that its own
sweep leaves the file alone until it is recorded.

An upload that has a record, and no byte yet; the caller holds its lease:

    fill        the bytes get their final name, durable and read-only
    (record)    saved by the caller, as that of a completed upload

A crash before the record leaves a published file of an upload that still waits for its first byte. Nobody was told of
that file. It goes when the upload goes, and it is replaced by whatever the client sends next: `fill` replaces it, and
so does the slow path, which removes it before it stores the first byte (`Blobs.open`).

Where several servers share a state, `publish` is not used: the sweep of one could remove what another, suspended in the
middle, is about to record. `fill` never replaces a file there: a holder of a lease that was suspended could wake up
when the next holder has published other bytes. After the record `filled` is called, as `recorded` for a new upload.
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

    async def fill(
        self, id: UploadId, data: bytes, check: Callable[[bytes], None], holds: Callable[[], bool]
    ) -> Place | None:
        """Store and publish all bytes of an upload that has recorded none yet; the rest is as for `publish`.

        No file is written to that has a name already. After an error, or None, the slow path may be taken.
        `holds` says, in any thread, whether the lease is still held; if not, Stale may be raised.
        """

    def filled(self, id: UploadId) -> None:
        """Note that a file that `fill` has published is recorded now; returns at once, and raises nothing."""

    def recorded(self, id: UploadId) -> None:
        """Note that a new file has its record now; returns at once, and raises nothing."""
