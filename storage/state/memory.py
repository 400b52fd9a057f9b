"""Records, leases, events and the outbox in memory, for tests and demonstrations: nothing survives the process."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from onward.protocol.events import OutgoingEvent
from onward.protocol.model import Status, Upload, UploadId
from onward.protocol.promises import Promise, sum_of
from onward.storage.base import Crowded, Cursor, Durability, Missing, Page, Stale
from onward.storage.state.creation_keys import MemoryCreationKeys
from onward.storage.state.hints import MemoryHints
from onward.storage.state.local import Local
from onward.storage.state.outbox import MemoryOutbox
from onward.storage.state.quotas import MemoryQuotas


class MemoryState(Local):
    """Records and outgoing events in dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox, self.hints, self.creation_keys = MemoryOutbox(), MemoryHints(), MemoryCreationKeys()
        self._uploads: dict[UploadId, Upload] = {}
        self.quotas = MemoryQuotas(self._uploads)

    async def insert(
        self,
        upload: Upload,
        *,
        durable: bool = True,  # noqa: ARG002
        most: int | None = None,
        events: Sequence[OutgoingEvent] = (),
    ) -> None:
        """Record a new upload; raises Crowded, Exceeded or Stale."""
        if upload.id in self._uploads:
            raise Stale(upload.id)
        if most is not None and sum(not known.status.final for known in self._uploads.values()) >= most:
            raise Crowded
        self.quotas.check(upload)
        self._uploads[upload.id] = upload
        self.outbox.put(events)

    async def load(self, id: UploadId, *, fresh: bool = False) -> Upload:  # noqa: ARG002
        """Return the record; raises Missing."""
        try:
            return self._uploads[id]
        except KeyError:
            raise Missing(id) from None

    def _in_memory(self, id: UploadId) -> Upload | None:
        return self._uploads.get(id)

    async def save(
        self,
        upload: Upload,
        *,
        durable: bool = True,  # noqa: ARG002
        events: Sequence[OutgoingEvent] = (),
        last: bool = False,  # noqa: ARG002
    ) -> Upload:
        """Replace the record; raises Stale or Missing."""
        if (await self.load(upload.id)).version != upload.version or not self._leases.proves(upload.id, upload.epoch):
            raise Stale(upload.id)
        saved = self._uploads[upload.id] = replace(upload, version=upload.version + 1)
        self.outbox.put(events)
        self._notify(saved)
        return saved

    async def forget(self, id: UploadId) -> None:
        """Remove the record."""
        self._uploads.pop(id, None)

    async def probe(self) -> None:
        """Do nothing: memory is always there."""

    async def promised(self) -> Promise:
        """Return the sum of what all unfinished uploads have been promised."""
        return sum_of(self._uploads.values())

    async def count_open(self) -> Mapping[Status, int]:
        """Return how many unfinished uploads have each status."""
        return Counter(upload.status for upload in self._uploads.values() if not upload.status.final)

    async def due(self, now: float) -> AsyncIterator[UploadId]:
        """Yield the ids of the records that are due, the earliest first."""
        due = [(upload.due, upload) for upload in self._uploads.values() if upload.due is not None]
        for at, upload in sorted(due, key=lambda pair: pair[0]):
            if at <= now:
                yield upload.id

    async def page(
        self, *, after: Cursor | None, limit: int, statuses: Collection[Status], owner: str | None = None
    ) -> Page:
        """Return the uploads of one page, the newest first."""
        chosen = [each for each in self._uploads.values() if each.status in statuses and owner in (None, each.owner)]
        found = {Cursor(each.created, each.id): each for each in chosen}
        places = sorted((place for place in found if after is None or place < after), reverse=True)
        page = places[:limit]
        return Page([found[place] for place in page], [], page[-1] if len(places) > limit else None)

    async def close(self) -> None:
        """Forget everything."""
        self._uploads.clear()


async def open_state(_url: str, _data: Path, _durability: Durability, _node: str) -> MemoryState:
    """Return an empty state."""
    return MemoryState()
