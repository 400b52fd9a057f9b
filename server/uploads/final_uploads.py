"""Final uploads: wanted parts are kept, and the final one goes on as far as its parts allow."""

from onward.protocol import concatenation, decisions
from onward.protocol.model import Failure, Limits, Role, Status, Upload, UploadId
from onward.server.uploads.completion import Completion
from onward.server.uploads.interrupt import Interrupt
from onward.server.uploads.records import UploadRecords


class FinalUploads:
    """Final uploads and their parts."""

    def __init__(self, records: UploadRecords, completion: Completion) -> None:
        self._records, self._completion = records, completion

    @property
    def _limits(self) -> Limits:
        return self._records.limits

    async def wanted(self, ids: tuple[UploadId, ...], *, may_wait: bool) -> tuple[int | None, list[int]]:
        """Keep the parts of a final upload; returns its length, None while that isn't known, and those of the parts.

        Raises Missing, Gone, BadRequest or TooLarge.
        """
        parts = [await self._wanted(id_) for id_ in ids]
        length = concatenation.check_parts(parts, now=self._records.clock(), limits=self._limits, may_wait=may_wait)
        return length, [part.offset if part.length is None else part.length for part in parts]

    async def _wanted(self, id: UploadId) -> Upload:
        part = await self._records.load(id)
        if part.role is not Role.PARTIAL or part.status is not Status.COMPLETED:
            return part
        async with self._records.leased(id, lambda: None) as part:
            decisions.check_open(part, self._records.clock())
            kept = concatenation.wanted(part, now=self._records.clock(), limits=self._limits)
            return await self._records.save(kept)

    async def settle(self, id: UploadId, *, wait: float | None, interrupt: Interrupt) -> Upload:
        """Bring a final upload as far as its parts allow."""
        async with self._records.leased(id, interrupt.give_way, wait=wait) as upload:
            return await self.advance(upload, interrupt)

    async def advance(self, final: Upload, interrupt: Interrupt) -> Upload:
        """Do so under a lease that is held."""
        final = await self.advanced(final)
        if final.status is Status.VERIFYING:
            return await self._completion.verify(final, None, interrupt)
        return final

    async def advanced(self, final: Upload) -> Upload:
        """Record how far its parts allow it to go; one that is verifying then is still to be joined."""
        if final.status is not Status.PENDING:
            return final
        parts = await self._records.parts(final)
        now = self._records.clock()
        if parts is None:
            return await self._records.end(self._records.failed(final, Failure.PART_GONE))
        advanced = concatenation.advanced(final, parts, now=now, limits=self._limits)
        waits = advanced.status is final.status
        if waits and advanced.length == final.length and final.due and final.due > now:
            return final
        if waits:
            for part in parts:
                if concatenation.is_needed_longer(part, now=now, limits=self._limits):
                    await self._wanted(part.id)
        return await (self._records.end if advanced.status.final else self._records.save)(advanced)
