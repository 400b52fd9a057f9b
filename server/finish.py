"""From the last byte to the published file: hashed, judged, sealed, recorded; each step may be done again."""

from protocol import concatenation, rules
from protocol.errors import ChecksumMismatch
from protocol.model import Failure, Role, Status, Upload
from server.join import Interruption, hash_stored, join
from server.ledger import Ledger
from server.reserve import Reserve
from server.running_hash import RunningSha256
from storage.base import Missing, StorageError
from storage.failpoints import reach


class Finish:
    """Brings full uploads to their end; the caller holds the lease."""

    def __init__(self, ledger: Ledger, reserve: Reserve) -> None:
        self._ledger, self._reserve = ledger, reserve
        self._blobs = ledger.storage.blobs

    async def verify(self, upload: Upload, running: RunningSha256 | None, interruption: Interruption) -> Upload:
        """Judge a full upload and publish it, unless it is a part; gives it completed or failed."""
        ledger, place = self._ledger, upload.place
        try:
            running = await self._hashed(upload, running, interruption)
            sha256 = running.digest()
            rules.judge(upload, sha256)
            reach("judged")
            told = bool(upload.volatile and upload.offset) and upload.role is not Role.FINAL
            if upload.role is not Role.PARTIAL:
                place = await self._blobs.seal(
                    place, upload.offset, ledger.holds(upload), told=told, check=interruption.check
                )
            elif told:
                await self._blobs.sync(place)
        except ChecksumMismatch:
            return await ledger.end(ledger.failed(upload, Failure.CHECKSUM_MISMATCH, sha256))
        except Missing:
            failure = Failure.PART_GONE if upload.role is Role.FINAL else Failure.LOST
            return await ledger.end(ledger.failed(upload, failure))
        completed = rules.completed(upload, sha256=sha256, place=place, now=ledger.clock(), limits=ledger.limits)
        upload = await ledger.end(completed)
        await self._release(upload)
        return upload

    async def _hashed(self, upload: Upload, running: RunningSha256 | None, interruption: Interruption) -> RunningSha256:
        if upload.role is Role.FINAL:
            running = RunningSha256()
            parts = await self._ledger.parts(upload)
            if parts is None:
                raise Missing(upload.id)
            with self._reserve.joining(await self._reserve.joined_size([part.offset for part in parts])):
                await join(self._blobs, upload.place, parts, running, interruption.check)
        elif running is None or running.offset != upload.offset:
            running = RunningSha256()
            await hash_stored(self._blobs, upload.place, upload.offset, running, interruption.check, fresh=True)
        return running

    async def _release(self, final: Upload) -> None:
        """Let the parts of a sealed upload go; where that fails, they go when they expire."""
        for id_ in set(final.concat.parts if final.concat else ()):
            try:
                async with self._ledger.leased(id_, lambda: None) as part:
                    if part.status is Status.COMPLETED:
                        now, limits = self._ledger.clock(), self._ledger.limits
                        await self._ledger.save(concatenation.released(part, now=now, limits=limits))
            except StorageError:
                continue
