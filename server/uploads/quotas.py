"""The quota of an owner while an upload grows: its bytes are reserved before they are received.

An upload of known length has reserved all of its bytes when it is created. Otherwise each body reserves some bytes
ahead of what has arrived, as many as fit, and what was not used is given back when the body has ended. An upload whose
length becomes known later reserves it before that is recorded. `storage/base/quotas.py` has the rules; called by the
engine and by concatenation.py.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from onward.protocol.decisions import sized
from onward.protocol.errors import QuotaExceeded
from onward.protocol.model import Upload
from onward.server.uploads.body_writer import BLOCK, Write
from onward.server.uploads.reserve import Claim
from onward.storage.base import Block, Exceeded, Storage, StorageError


def refused(fault: Exceeded, upload: Upload) -> QuotaExceeded:
    """Return the refusal that says which limit of an upload is reached."""
    quota = upload.allowance.quota if upload.allowance else None
    if fault.uploads or quota is None:
        return QuotaExceeded("This token has created as many uploads as it allows.")
    return QuotaExceeded(f"All uploads of this owner may have {sized(quota)} together.")


async def reserve_length(storage: Storage, upload: Upload, length: int) -> None:
    """Reserve the length of an upload before it is recorded; raises QuotaExceeded. The caller holds the lease."""
    if upload.allowance is None or upload.allowance.quota is None:
        return
    try:
        await storage.state.quotas.claim(upload, length, least=length)
    except Exceeded as fault:
        raise refused(fault, upload) from fault


class QuotaClaim:
    """Bytes of the quota that one body may still store; the counterpart of `Claim`, which is about the free room."""

    def __init__(self, storage: Storage, upload: Upload) -> None:
        self._quotas, self._upload = storage.state.quotas, upload
        self._ahead = storage.blobs.stride.bytes + 2 * BLOCK  # a body may bring more than a stride between two records
        self._end = self._reached = upload.offset

    async def begin(self, size: int | None) -> None:
        """Reserve room for a body of `size` bytes, or for the first ones if that is unknown; raises QuotaExceeded."""
        if self._upload.length is not None:
            await self._claim(self._upload.length, self._upload.length)
        elif size is not None:
            await self._claim(self._end + size, self._end + size)
        else:
            await self._claim(self._end + self._ahead, self._end + 1)

    def limited(self, write: Write) -> Write:
        """Return a function that stores a block, unless it goes beyond what is reserved; then it raises QuotaExceeded.

        It may be called in any thread.
        """

        def limited(block: Block, at: int) -> None:
            if at + len(block) > self._end:
                raise refused(Exceeded(), self._upload)
            write(block, at)
            self._reached = at + len(block)

        return limited

    async def extend(self) -> None:
        """Reserve room for what may arrive until the next record, or for as much of it as there is."""
        if self._upload.length is None:
            await self._claim(self._reached + self._ahead, self._reached)

    async def _claim(self, end: int, least: int) -> None:
        allowance = self._upload.allowance
        if allowance is None or allowance.quota is None:
            self._end = max(self._end, end)
            return
        try:
            self._end = await self._quotas.claim(self._upload, end, least=least)
        except Exceeded as fault:
            raise refused(fault, self._upload) from fault


class BodyClaims:
    """What one body may still store: its claim on the free room, and the one on the quota if the upload needs one."""

    def __init__(self, claim: Claim, quota_claim: QuotaClaim | None) -> None:
        self.claim, self._quota_claim = claim, quota_claim

    @property
    def last(self) -> bool:
        """Return whether nothing has to be given back under the lease once the end of the body is recorded."""
        return self._quota_claim is None

    def counted(self, write: Write) -> Write:
        """Return a function that stores a block and counts its bytes; it may be called in any thread."""
        counted = self.claim.counted(write)
        return counted if self._quota_claim is None else self._quota_claim.limited(counted)

    async def note(self) -> None:
        """Count what was stored, and claim more; raises StorageFull and QuotaExceeded."""
        await self.claim.note()
        if self._quota_claim is not None:
            await self._quota_claim.extend()


@asynccontextmanager
async def claim_quota(
    storage: Storage, recorded: Upload, upload: Upload, size: int | None, holds: Callable[[], bool]
) -> AsyncIterator[QuotaClaim | None]:
    """Reserve the bytes of a body, and give back at its end what was not used; raises QuotaExceeded.

    `recorded` is the record in the state, and `upload` the one with what the request declares. `size` is that of the
    body, None if unknown. Yields None if nothing has to be reserved. `holds` says whether the lease is still held.
    """
    if recorded.allowance is None or recorded.length is not None:
        yield None
        return
    quota_claim = QuotaClaim(storage, upload)
    try:
        await quota_claim.begin(size)
        yield quota_claim
    finally:
        with suppress(StorageError):  # otherwise the sweep puts it right
            settled = await storage.state.load(recorded.id)
            if holds():
                await storage.state.quotas.settle(settled)
