"""From the last byte to the published file: hashed, judged, sealed, recorded; each step may be done again."""

from onward.protocol import concatenation, decisions
from onward.protocol.errors import ChecksumMismatch
from onward.protocol.model import Failure, Role, Status, Upload
from onward.server.uploads.concatenation import hash_stored, join
from onward.server.uploads.hashing import RunningSha256
from onward.server.uploads.interrupt import Interrupt
from onward.server.uploads.records import UploadRecords
from onward.server.uploads.reserve import Reserve
from onward.storage.base import Missing, StorageError
from onward.storage.failpoints import reach


class Completion:
    """Brings full uploads to their end; the caller holds the lease."""

    def __init__(self, records: UploadRecords, reserve: Reserve) -> None:
        self._records, self._reserve = records, reserve
        self._blobs = records.storage.blobs

    async def verify(self, upload: Upload, running: RunningSha256 | None, interrupt: Interrupt) -> Upload:
        """Judge a full upload and publish it, unless it is a part; returns it completed or failed."""
        records, place = self._records, upload.place
        try:
            running = await self._hashed(upload, running, interrupt)
            sha256 = running.digest()
            decisions.judge(upload, sha256)
            reach("judged")
            told = bool(upload.volatile and upload.offset) and upload.role is not Role.FINAL
            if upload.role is not Role.PARTIAL:
                place = await self._blobs.seal(
                    place, upload.offset, records.holds(upload), told=told, check=interrupt.check
                )
            elif told:
                await self._blobs.sync(place)
        except ChecksumMismatch:
            return await records.end(records.failed(upload, Failure.CHECKSUM_MISMATCH, sha256))
        except Missing:
            failure = Failure.PART_GONE if upload.role is Role.FINAL else Failure.LOST
            return await records.end(records.failed(upload, failure))
        completed = decisions.completed(upload, sha256=sha256, place=place, now=records.clock(), limits=records.limits)
        upload = await records.end(completed)
        await self._release(upload)
        return upload

    async def _hashed(self, upload: Upload, running: RunningSha256 | None, interrupt: Interrupt) -> RunningSha256:
        if upload.role is Role.FINAL:
            running = RunningSha256()
            parts = await self._records.parts(upload)
            if parts is None:
                raise Missing(upload.id)
            with self._reserve.joining(await self._reserve.joined_size([part.offset for part in parts])):
                await join(self._blobs, upload.place, parts, running, interrupt.check)
        elif running is None or running.offset != upload.offset:
            running = RunningSha256()
            await hash_stored(self._blobs, upload.place, upload.offset, running, interrupt.check, fresh=True)
        return running

    async def _release(self, final: Upload) -> None:
        """Let the parts of a sealed upload go; where that fails, they go when they expire."""
        for id_ in set(final.concat.parts if final.concat else ()):
            try:
                async with self._records.leased(id_, lambda: None) as part:
                    if part.status is Status.COMPLETED:
                        now, limits = self._records.clock(), self._records.limits
                        await self._records.save(concatenation.released(part, now=now, limits=limits))
            except StorageError:
                continue
