"""The seam of the records: one for each upload, with its offset, its status and everything else about it.

The record is the truth about an upload. An offset is recorded before it is acknowledged, and every save is conditional
on the version that the caller has read and on the lease that it holds. The server calls this only by way of
`server/uploads/records.py`.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from onward.protocol.events import OutgoingEvent
from onward.protocol.model import Status, Upload, UploadId
from onward.protocol.promises import Promise


class Cursor(NamedTuple):
    """A place in the list of all uploads, which begins with the newest: that of one upload."""

    created: float  # when it was created, in seconds since the epoch
    id: UploadId  # orders uploads that were created at the same time


class Page(NamedTuple):
    """A part of the list of all uploads."""

    uploads: list[Upload]
    damaged: list[UploadId]  # uploads of this page whose records can't be read
    following: Cursor | None  # after this place the next page begins; None if this page is the last one


@runtime_checkable
class SavesHere(Protocol):
    """Records that a thread may save itself, without a way over the event loop and another thread."""

    def save_here(self, upload: Upload, *, durable: bool = True) -> Callable[[], Upload] | None:
        """Save a record as `Records.save` does, in the thread that calls; None if it can't be done now without a wait.

        After None nothing is saved. Otherwise what is returned has to be called on the event loop, also after an error:
        it notifies the watchers, and returns and raises what `save` does.
        """


class Records(Protocol):
    """The records of all uploads. Every method may raise Unreachable, and Full if it writes."""

    async def insert(
        self, upload: Upload, *, durable: bool = True, most: int | None = None, events: Sequence[OutgoingEvent] = ()
    ) -> None:
        """Record a new upload, durably by default, and put `events` into the outbox in the same step.

        Raises Crowded if `most` uploads are unfinished already, Exceeded if it does not fit into its `allowance`, and
        Stale if there is another record with this id: only a creation with a key may have an id that was chosen before
        (creation_keys.py).
        """

    async def load(self, id: UploadId, *, fresh: bool = False) -> Upload:
        """Return the record; raises Missing.

        With `fresh` the store itself is asked even if the record is remembered, as it is for an unknown id.
        """

    async def save(
        self, upload: Upload, *, durable: bool = True, events: Sequence[OutgoingEvent] = (), last: bool = False
    ) -> Upload:
        """Replace the record, if its version is the recorded one and its epoch is that of the lease held now.

        The `events` are put into the outbox in the same step. Returns the record with its new version, one higher.
        `last`: the caller saves nothing more under this lease, which may be given up in the same step.
        Durable by default, together with everything that was saved before. Then the watchers of the upload are
        notified, without waiting for them. Raises Stale or Missing.

        `last`: the caller saves nothing more under this lease, which may be given up in the same step.
        """

    async def forget(self, id: UploadId) -> None:
        """Remove the record; may be repeated."""

    async def probe(self) -> None:
        """Check whether records can be read and saved at the moment."""

    async def time(self) -> float | None:
        """Return the seconds since the epoch by a clock that all servers of this state share; None if it has none."""

    async def promised(self) -> Promise:
        """Return what all unfinished uploads together have been promised, at a cost that does not grow with them."""

    async def count_open(self) -> Mapping[Status, int]:
        """Return how many unfinished uploads have each status, at a cost that grows with them: for metrics, not often.

        It need not be the state of one moment.
        """

    def due(self, now: float) -> AsyncIterator[UploadId]:
        """Yield the ids of the records whose `due` is not later than `now`, the earliest first."""

    async def page(
        self, *, after: Cursor | None, limit: int, statuses: Collection[Status], owner: str | None = None
    ) -> Page:
        """Return at most `limit` uploads with one of these statuses, the newest first, from behind the place `after`.

        With an `owner` the list has only the uploads of that one.

        An upload whose status does not change meanwhile is on exactly one of the pages, however many others come and
        go. A page may have fewer uploads than `limit`, even none, although others follow.
        """

    async def close(self) -> None:
        """Finish what is waiting, and close connections and files."""
