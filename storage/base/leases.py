"""The seam of the leases: one writer for each upload, across processes and machines.

All work that changes an upload holds its lease: a PATCH, the sweep, a HEAD that must see an exact offset. A
second request for the same upload (a rival) usually means that the client has lost its connection and tries again, so
the newcomer wins: the holder is asked by its `on_rival` to record what has arrived and to give the lease up.

    A  holds, epoch 7  ....writes....  on_rival()  records, releases
    B                       asks ------^  waits ------------------->  holds, epoch 8
    A' a save with epoch 7 is Stale from here on

Each lease has an epoch, a number that is higher than that of any lease before it. It is stored in the record, so that
a holder that lost its lease without noticing cannot save (a fencing token). Bytes know no epochs. If a holder's lease
ran out instead of being released, its process may be suspended in the middle of a write. The next lease then names
that process in `left_by`, and its holder has to fence the place (`Blobs.fence`) before it writes, and to report that
with `fenced`.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from onward.protocol.model import Upload, UploadId

ANYONE = "*"  # stands for a node whose name is unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to change an upload."""

    id: UploadId
    epoch: int  # higher than that of every earlier lease on this upload
    # The last holder, if its lease ran out instead of being released: it may still be writing, so fence it first.
    # ANYONE if there may be several, or if the name is unknown.
    left_by: str | None = None
    # Returns whether it is still certain, by the holder's own clock, that no other request has the lease.
    holds: Callable[[], bool] = lambda: True
    record: Upload | None = None  # the record, if it had to be read to get the lease


class Leases(Protocol):
    """One writer for each upload. Every method may raise Unreachable."""

    def hold(
        self,
        id: UploadId,
        *,
        wait: float,
        on_rival: Callable[[], None],
    ) -> AbstractAsyncContextManager[Lease]:
        """Hold the lease. The present holder is asked to give it up, and waited for.

        `wait` is in seconds; 0 neither asks nor waits. `on_rival` is called on the event loop when another request
        wants the lease, and also when the lease is lost. Raises Held if the holder did not give it up in time, and
        Missing if the store knows that there is no such upload.
        """

    async def at_rest(self, ids: Sequence[UploadId]) -> list[Upload | None]:
        """Return each record if no request holds its lease and no former holder may still write; otherwise None.

        This is cheaper than holding the lease, and the record is as exact. After None the lease has to be held.
        So it has after a record that is damaged: for that, too, there is None here.
        """

    def remembered(self, id: UploadId) -> Upload | None:
        """Return what `at_rest` returns for one, if that is in memory; None means that `at_rest` has to be asked.

        A state that other processes use as well has no such memory.
        """

    async def fenced(self, lease: Lease, upload: Upload) -> None:
        """Note that the former holder can no longer change the bytes; `upload` is the record as it is now.

        The next lease no longer has a `left_by` then.
        """
