"""Final uploads, which are concatenated from parts: their parts are kept, and they advance as far as the parts allow.

A final upload waits (`pending`) until all of its parts are completed, then it is `verifying`, and `Completion` joins
the parts. The rules are in `protocol/concatenation.py`. Called by the engine and by the sweep.
"""

from onward.protocol import concatenation, decisions
from onward.protocol.errors import QuotaExceeded
from onward.protocol.model import PART_GONE, QUOTA_EXCEEDED, Limits, Role, Status, Upload, UploadId
from onward.server.uploads.completion import Completion
from onward.server.uploads.interrupt import Interrupt
from onward.server.uploads.quotas import reserve_length
from onward.server.uploads.records import UploadRecords


class FinalUploads:
    """Final uploads and their parts."""

    def __init__(self, records: UploadRecords, completion: Completion) -> None:
        self._records, self._completion = records, completion

    @property
    def _limits(self) -> Limits:
        return self._records.limits

    async def keep_parts(self, ids: tuple[UploadId, ...], *, may_wait: bool) -> tuple[int | None, list[int]]:
        """Check the parts of a new final upload, and keep them from expiring too early.

        Returns its length (None while a part has no length yet) and the lengths of the parts. Raises Missing, Gone,
        BadRequest or TooLarge.
        """
        parts = [await self._keep_part(id_) for id_ in ids]
        length = concatenation.check_parts(parts, now=self._records.clock(), limits=self._limits, may_wait=may_wait)
        return length, [part.offset if part.length is None else part.length for part in parts]

    async def _keep_part(self, id: UploadId) -> Upload:
        part = await self._records.load(id)
        if part.role is not Role.PARTIAL or part.status is not Status.COMPLETED:
            return part
        async with self._records.leased(id, lambda: None) as part:
            decisions.check_open(part, self._records.clock())
            kept = concatenation.wanted(part, now=self._records.clock(), limits=self._limits)
            return await self._records.save(kept)

    async def advance(self, id: UploadId, *, wait: float | None, interrupt: Interrupt) -> Upload:
        """Take the lease of a final upload, update it, and if all its parts are there, join and publish them.

        Raises Held, Missing, and what `Completion.verify` raises.
        """
        async with self._records.leased(id, interrupt.give_way, wait=wait) as upload:
            final = await self.update(upload)
            if final.status is Status.VERIFYING:
                return await self._completion.verify(final, None, interrupt)
            return final

    async def update(self, final: Upload) -> Upload:
        """Record how far the parts allow a final upload to go; the caller holds its lease.

        If it is `verifying` afterwards, it still has to be joined.
        """
        if final.status is not Status.PENDING:
            return final
        parts = await self._records.parts(final)
        now = self._records.clock()
        if parts is None:
            return await self._records.end(self._records.failed(final, PART_GONE))
        advanced = self._records.to_check(concatenation.advanced(final, parts, now=now, limits=self._limits))
        if advanced.length is not None and advanced.length != final.length and not advanced.status.final:
            try:
                await reserve_length(self._records.storage, final, advanced.length)
            except QuotaExceeded:
                advanced = self._records.failed(final, QUOTA_EXCEEDED)
        waiting = advanced.status is final.status
        if waiting and advanced.length == final.length and final.due and final.due > now:
            return final
        if waiting:
            for part in parts:
                if concatenation.is_needed_longer(part, now=now, limits=self._limits):
                    await self._keep_part(part.id)
        return await (self._records.end if advanced.status.final else self._records.save)(advanced)
