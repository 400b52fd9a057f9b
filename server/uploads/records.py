"""Records under their leases: loaded and saved, here and nowhere else.

With a relaxed durability a record says in whose memory its last bytes are; where that machine has stopped since, they
are lost, and the upload with them.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from msgspec.structs import replace

from onward.protocol import decisions, lifecycle
from onward.protocol.errors import ChecksumMismatch, Gone
from onward.protocol.model import Failure, Limits, Role, Upload, UploadId
from onward.server.uploads.clock import Clock
from onward.server.uploads.silence import Silence
from onward.storage.base import Durability, Full, Held, Lease, Missing, Storage, StorageError, Unreachable
from onward.storage.failpoints import reach

log = logging.getLogger("onward")


class UploadRecords:
    """The records of a storage; `boot` names the run of the machine."""

    def __init__(
        self, storage: Storage, limits: Limits, *, lease_wait: float, boot: str, clock: Clock | None = None
    ) -> None:
        self.storage, self.limits, self.clock = storage, limits, clock or Clock()
        self.counts: Counter[str] = Counter()
        self.silence = Silence(limits.quiet_after)
        self._state, self._lease_wait, self._boot = storage.state, lease_wait, boot
        self._relaxed = storage.durability.relaxed
        self._volatile: set[UploadId] = set()
        self._leases: dict[tuple[UploadId, int], Lease] = {}

    async def insert(self, upload: Upload) -> Upload:
        """Record a new upload."""
        if self._relaxed:
            upload = decisions.volatile(upload, self._boot, now=self.clock(), limits=self.limits)
            self._volatile.add(upload.id)
        await self._state.insert(upload, durable=not self._relaxed, most=self.limits.max_open)
        reach("created")
        return upload

    async def load(self, id: UploadId) -> Upload:
        """Return a record as it is; raises Missing."""
        return await self._timed(await self._state.load(id))

    async def at_rest(self, id: UploadId) -> Upload | None:
        """Return a record that nobody is changing; None where the lease has to be held for that."""
        upload = await self._state.at_rest(id)
        return None if upload is None or decisions.is_lost(upload, self._boot) else await self._timed(upload)

    async def ask_the_time(self) -> None:
        """Follow the clock of the state, where it has one; raises what the state raises."""
        asked = self.clock.elapsed()
        if (told := await self._state.time()) is not None:
            self.clock.follow(told, asked)

    def carried(self, upload: Upload) -> Upload:
        """Return a record that is older than a change of the clock the time that it still has."""
        if upload.due is None or not (by := self.clock.set_since(upload.updated)):
            return upload
        return lifecycle.carried(upload, by, now=self.clock(), limits=self.limits)

    async def _timed(self, upload: Upload) -> Upload:
        """Do so; before anything is taken for expired the clock of the state is asked again."""
        if decisions.is_expired(upload, self.clock()):
            await self.ask_the_time()
        return self.carried(upload)

    async def parts(self, final: Upload) -> list[Upload] | None:
        """Return the parts of a final upload, None where one is forgotten."""
        try:
            return [await self.load(part) for part in (final.concat.parts if final.concat else ())]
        except Missing:
            return None

    @asynccontextmanager
    async def leased(
        self, id: UploadId, on_rival: Callable[[], None], *, wait: float | None = None
    ) -> AsyncIterator[Upload]:
        """Hold the lease; returns the record as it is then."""
        wait = self._lease_wait if wait is None else wait
        async with self._state.hold(id, wait=wait, on_rival=on_rival) as lease:
            upload = replace(lease.record or await self._state.load(id), epoch=lease.epoch)
            if lease.left_by:
                upload = await self._fenced(upload, lease)
            if decisions.is_lost(upload, self._boot):
                upload = await self.end(self.failed(upload, Failure.LOST))
            elif (carried := await self._timed(upload)) is not upload:
                upload = carried
                with suppress(Full):
                    upload = await self.save(upload)
            self._leases[id, lease.epoch] = lease
            try:
                yield upload
            finally:
                del self._leases[id, lease.epoch]

    def holds(self, upload: Upload) -> Callable[[], bool]:
        """Return what tells, from any thread, whether its lease is still held."""
        return self._leases[upload.id, upload.epoch].holds

    async def _fenced(self, upload: Upload, lease: Lease) -> Upload:
        """Shut out whoever left the lease: it may be asleep in the middle of a write."""
        if not upload.status.final:
            joined = upload.role is Role.FINAL  # its offset is that of its parts, whatever of them is there already
            try:
                await self.storage.blobs.fence(
                    upload.place, 0 if joined else upload.offset, lease.left_by or "", lease.holds
                )
            except Missing:
                upload = await self.end(self.failed(upload, Failure.LOST))
        await self._state.fenced(lease, upload)
        return upload

    async def save(self, upload: Upload) -> Upload:
        """Save and tell a record; returns it with its next version."""
        durable = True
        if self._relaxed and not upload.status.final:
            durable = upload.volatile is None  # the first of them says so for all that follow
            upload = decisions.volatile(upload, self._boot, now=self.clock(), limits=self.limits)
        return await self._save(upload, durable)

    async def end(self, upload: Upload) -> Upload:
        """Save and count a record that has come to its final status."""
        saved = await self.save(upload)
        self.counts[saved.failure or saved.status] += 1
        log.info("upload %s… is %s at %d of %s", saved.id[:8], saved.status, saved.offset, saved.length)
        return saved

    async def settle(self, upload: Upload) -> Upload:
        """Make durable what was told of an upload that has fallen silent."""
        if self.storage.durability is Durability.NONE or upload.status.final:
            return upload
        if upload.offset and upload.role is not Role.FINAL:  # that one is joined again from its parts, which are synced
            try:
                await self.storage.blobs.sync(upload.place)
            except Missing:
                return await self.end(self.failed(upload, Failure.LOST))
        return await self._save(decisions.durable(upload, now=self.clock(), limits=self.limits), True)

    async def settle_all(self) -> None:
        """Make durable what was told of all uploads; raises Unreachable where the state does not answer."""
        if self.storage.durability is Durability.PROCESS:
            await self._find_left()
        for id_ in list(self._volatile):
            try:
                async with self.leased(id_, lambda: None, wait=0) as upload:
                    await self.settle(upload)
            except (Held, Missing):  # whoever has it settles it
                self._volatile.discard(id_)
            except Unreachable:
                await self._state.probe()  # perhaps it is this one's bytes that can't be reached
            except StorageError:
                continue
            except Exception:  # a fault in one upload must not keep the others from their settling
                log.exception("upload %s… could not be settled", id_[:8])

    async def _find_left(self) -> None:
        """Find what a process before this one has told and not settled: it may have been killed a moment ago."""
        async for id_ in self._state.due(self.clock() + max(self.limits.quiet_after, lifecycle.LONGEST_WAIT)):
            with suppress(StorageError):
                if (await self._state.load(id_)).volatile == self._boot:
                    self._volatile.add(id_)

    @property
    def unsettled(self) -> int:
        """Return how many uploads have bytes that only the memory of the machine has, and should not."""
        return 0 if self.storage.durability is Durability.NONE else len(self._volatile)

    def failed(self, upload: Upload, failure: Failure, sha256: bytes | None = None) -> Upload:
        """Return the record of an upload that can't be completed any more."""
        return decisions.failed(upload, failure, now=self.clock(), limits=self.limits, sha256=sha256)

    async def _save(self, upload: Upload, durable: bool) -> Upload:
        saved = await self._state.save(upload, durable=durable)
        reach("recorded")
        self.silence.note(saved)
        if saved.volatile is None:
            self._volatile.discard(saved.id)
        else:
            self._volatile.add(saved.id)
        return saved


def verified(upload: Upload) -> Upload:
    """Refuse what has failed; raises ChecksumMismatch or Gone."""
    if upload.failure is Failure.CHECKSUM_MISMATCH and upload.sha256:
        raise ChecksumMismatch(f"The bytes have the SHA-256 {upload.sha256.hex()}.")
    if upload.failure is not None:
        raise Gone(f"The upload failed: {upload.failure}.")
    return upload
