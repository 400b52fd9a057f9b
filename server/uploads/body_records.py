"""What is recorded of one body: its position after every stride, and its end. Called by the engine and `receive.py`.

begin        the record in the state              recorded
note         after each stride                    decisions.received   `uploading`, at the durable position
tell         a stride that recorded nothing       nothing              (only watchers are told what has arrived)
end          the body is over, or was cut         decisions.ended      `uploading`, `paused` or `verifying`
end_here     the same, in the thread that has written the last byte of a whole body; `end` follows
pause        nothing more can be stored           decisions.paused     what was recorded stays
"""

from collections.abc import Callable
from contextlib import suppress

from msgspec.structs import replace

from onward.protocol import decisions
from onward.protocol.model import Licence, Place, Status, Upload
from onward.server.uploads.hashing import RunningSha256
from onward.server.uploads.receive import Body
from onward.server.uploads.records import UploadRecords
from onward.server.uploads.reserve import Claim
from onward.storage.base import BlobWriter, StorageError

UNHEARD = 1.0  # seconds until watchers are told again after nobody has listened


class BodyRecords:
    """The records of one body.

    `recorded` is the record in the state, and `upload` the one to save next, which has what the request declares.
    `running` is the hash of all bytes up to the position, if it is known. `count` is called with the number of bytes
    that were stored since its last call.
    """

    def __init__(
        self,
        records: UploadRecords,
        recorded: Upload,
        upload: Upload,
        *,
        running: RunningSha256 | None,
        claim: Claim,
        body: Body,
        count: Callable[[int], None],
    ) -> None:
        self.recorded, self._upload = recorded, upload
        self._records, self._clock, self._running = records, records.clock, running
        self._claim, self._body, self._add = claim, body, count
        self._began, self._counted = self._clock.elapsed(), upload.offset
        self._tell_at, self._told = 0.0, False
        self._marked: tuple[int, bytes | None] = -1, None  # a position, and the hash of all bytes up to it
        self._noting = False  # whether an earlier position is to be recorded first
        self._ended: Callable[[], Upload] | None = None  # returns the record of the end, if that is saved

    def count(self, position: int) -> None:
        """Count the bytes that were stored up to a position."""
        self._add(position - self._counted)
        self._counted = position

    def mark(self, position: int) -> None:
        """Keep what is known of the hash at this position: it is recorded later, while more bytes are hashed."""
        self._marked = position, self._running.state(position) if self._running else None
        self._noting = True

    async def note(self, position: int, writer: BlobWriter) -> None:
        """Record that the bytes up to a position are durable, in the middle of the body; raises StorageError."""
        self.count(position)
        marked, state = self._marked
        if marked != position:  # the store has made durable less than was received
            state = self._running.state(position) if self._running else None
        now = self._clock()
        received = decisions.received(
            replace(self._records.carried(self._upload, now), place=writer.place),
            position,
            now=now,
            since=self._since_last(now),
            limits=self._records.limits,
            hashing=state,
        )
        self._began = self._clock.elapsed()
        self.recorded = self._upload = await self._records.save(received)
        self._claim.recorded()
        self._noting = False
        await self._body.tell(self._upload)

    async def tell(self) -> None:
        """Let watchers know that more bytes have arrived than are recorded; rarely, as long as nobody listens."""
        now = self._clock.elapsed()
        if now >= self._tell_at:
            self._told = True
            heard = await self._records.storage.state.tell(self.recorded)
            self._tell_at = now if heard else now + UNHEARD

    async def pause(self) -> Upload:
        """Record that the upload waits for another body, unless the state does not answer; return the record."""
        if self.recorded.status is Status.UPLOADING or self._told:
            now = self._clock()
            paused = decisions.paused(self._records.carried(self.recorded, now), now=now, limits=self._records.limits)
            with suppress(StorageError):
                self.recorded = await self._records.save(paused)
        return self.recorded

    def end_here(self, position: int, place: Place, licence: Licence) -> None:
        """Record the end of a whole body in the thread that has written its last byte, if the state can do that.

        `end` has to be called afterwards, on the event loop, with the same position.
        """
        if self._noting:
            return
        self._ended = self._records.save_here(self._at_end(position, place, licence, cut=False))

    async def end(self, position: int, place: Place, licence: Licence, *, last: bool) -> Upload:
        """Record the end of the body, which may have been cut, at the durable position; raises StorageError.

        `last`: the caller saves nothing more under this lease, unless the upload has to be verified.
        """
        if self._ended is not None:
            return self._ended()
        ended = self._at_end(position, place, licence, cut=self._body.cut_by is not None)
        return await self._records.save(ended, last=last and ended.status is not Status.VERIFYING)

    def _at_end(self, position: int, place: Place, licence: Licence, *, cut: bool) -> Upload:
        # Where bytes are read again after an interrupted verification, a full upload needs no saved hash.
        rereads = self._records.storage.blobs.rereads
        full = position == self._upload.length and not licence.needs_end and rereads
        hashing = self._running.state(position) if self._running and not full else None
        upload = self._records.carried(replace(self._upload, place=place), now := self._clock())
        ended = decisions.ended(
            upload,
            position,
            now=now,
            since=self._since_last(now),
            limits=self._records.limits,
            cut=cut,
            completes=licence.completes,
            needs_end=licence.needs_end,
            hashing=hashing,
        )
        return self._records.to_check(ended)

    def _since_last(self, now: float) -> float:
        """Return when the last bytes were recorded; measured by the steady clock, since the wall clock may be set."""
        return now - (self._clock.elapsed() - self._began)
