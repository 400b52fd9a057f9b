"""The seams: where bytes, records, leases and events live, and the errors that every implementation speaks.

Each method is required; the contract suites in tests/storage define what it means.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from onward.protocol.model import Place, Upload, UploadId
from onward.protocol.progress import Progress
from onward.protocol.promises import Promise


class Durability(StrEnum):
    """What an acknowledged byte survives."""

    FULL = "full"  # a power cut: each upload is synced before its offset is told
    GROUP = "group"  # the same, synced together with others that wait for it
    PROCESS = "process"  # the death of the server; synced when it falls silent, and before it is published
    NONE = "none"  # the same, and never synced: for tests

    @property
    def relaxed(self) -> bool:
        """Tell whether bytes are told that only the memory of the machine has."""
        return self in (Durability.PROCESS, Durability.NONE)


class Room(NamedTuple):
    """The bytes that there is room for: where they arrive, and where files are published if that is elsewhere."""

    arriving: int
    published: int | None = None


Block = bytes | bytearray | memoryview
ANYONE = "*"  # the name of a node that nobody knows


class StorageError(Exception):
    """Something behind a seam went wrong; `reported` if the log knows already what is unavailable."""

    reported = False


class Missing(StorageError):
    """There is no such record, or fewer bytes than recorded."""


class Stale(StorageError):
    """The record was changed by somebody else, or the lease is not held any more."""


class Held(StorageError):
    """The lease was not given up in time."""


class Full(StorageError):
    """There is no room."""


class Crowded(StorageError):
    """There are as many unfinished uploads as there may be."""


class Unreachable(StorageError):
    """The store doesn't answer, or answers with a fault of its own; trying later may help."""


class BlobWriter(Protocol):
    """Bytes on their way into one place, written by position."""

    def write(self, block: Block, at: int) -> None:
        """Store the whole block at a position in bytes, in a thread of the caller's; the block is its own afterwards.

        Raises Full or Unreachable, and then no count is given.
        """

    def trim(self, at: int) -> int:
        """Remove all bytes from a position on, in a thread of the caller's; return how many there were.

        Raises Missing or Unreachable.
        """

    async def sync(self) -> None:
        """Make durable what was written; after a failure nothing written since the last success may be trusted."""


class Backups(Protocol):
    """Copies of records beside the bytes; all raise Full or Unreachable."""

    @property
    def store(self) -> str:
        """Give the name of the data folder."""

    async def begin(self, upload: Upload, *, durable: bool) -> None:
        """Keep a first copy of a record."""

    async def keep(self, upload: Upload, *, durable: bool) -> None:
        """Keep a newer copy; raises Missing without a first, Stale where another one is as new or newer."""

    async def kept(self, id: UploadId) -> Upload | None:
        """Give the newest copy, if there is one."""

    async def renew(self, upload: Upload, holds: Callable[[], bool]) -> None:
        """Keep just this copy, where no former holder of the lease can write any more; raises Stale as a fence does."""

    async def drop(self, id: UploadId) -> None:
        """Keep nothing of an upload any more; repeatable."""

    async def probe(self) -> None:
        """Look whether copies can be kept at the moment."""

    def ids(self) -> AsyncIterator[UploadId]:
        """Give the ids of all uploads with copies."""


class Blobs(Protocol):
    """Where bytes live. A client's words never become a place."""

    @property
    def node(self) -> str:
        """Name this process among those that use the same bytes."""

    @property
    def backups(self) -> Backups:
        """Give the copies of records that lie beside them."""

    async def create(self, id: UploadId) -> Place:
        """Mint a place for an upload; nothing needs to exist there before the first byte."""

    def open(
        self, place: Place, at: int, holds: Callable[[], bool] = lambda: True
    ) -> AbstractAsyncContextManager[BlobWriter]:
        """Open a place that holds at least `at` bytes, made at need where `at` is 0, before the first write at latest.

        Raises Missing, and Stale where the lease is not held any more once it is open: it may not be one's own then.
        """

    def read(self, place: Place, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Give the bytes [start, stop) in blocks, of a sealed place too; raises Missing where they aren't there."""

    def file(self, place: Place, length: int) -> AbstractAsyncContextManager[int | None]:
        """Give a descriptor that the kernel can send the first bytes of a place from, None where there is none.

        Raises Missing where there are fewer bytes.
        """

    def scan(
        self, place: Place, length: int, take: Callable[[Block], None], *, fresh: bool = False
    ) -> AsyncGenerator[int, None]:
        """Call `take` with the first bytes in order, off the event loop; gives the positions reached.

        A block is valid during the call only. `fresh` asks for what the medium has, not for what memory remembers of
        it. Raises Missing where there are fewer bytes.
        """

    def join(self, place: Place, parts: Sequence[tuple[Place, int]]) -> AsyncGenerator[int, None]:
        """Fill a place with the first bytes of each part, as many as said, in order; gives the positions reached.

        Repeatable from its start; durable once sealed. Raises Missing where a part has fewer bytes.
        """

    async def joining(self, lengths: Sequence[int]) -> int:
        """Give the room that a join of parts of these lengths takes: none if all of it can be shared with them."""

    async def seal(
        self,
        place: Place,
        length: int,
        holds: Callable[[], bool] = lambda: True,
        *,
        told: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> Place:
        """Publish exactly `length` bytes, durable, under their final place; repeatable.

        Where they have to be copied for that, `check` is called between the steps, and may raise to end the work.
        Bytes that were `told` before they are durable are lost where they can't be made so, not to be read anew.
        Raises Missing, and Stale where the lease is not held any more: another may have found them wrong.
        """

    async def fence(self, place: Place, length: int, node: str, holds: Callable[[], bool]) -> None:
        """Make sure that a node can't change the first bytes of a place any more, published or not, however late.

        Costs nothing where the node is dead, a copy where it may only be asleep. Raises Missing, Full or Unreachable,
        and Stale where the lease is not held any more: who was asleep itself moves nothing.
        """

    async def room(self) -> Room | None:
        """Give the bytes that there is room for, None if nobody knows."""

    async def probe(self) -> None:
        """Look whether bytes can be stored and published at the moment.

        Raises Full if nothing but room is missing, otherwise Unreachable; either says what fails, for strangers too.
        """

    async def sync(self, place: Place) -> None:
        """Make durable all bytes of a place, published or not; raises Missing also where the medium refuses them."""

    async def remove(self, place: Place) -> None:
        """Remove a place, published or not; repeatable."""

    def strays(self, before: float) -> AsyncIterator[tuple[Place, UploadId | None]]:
        """Give the unfinished places that nothing was written to since a time, in seconds since the epoch.

        With the upload that each belongs to; None for what a crash has left in the middle of a step.
        """

    async def close(self) -> None:
        """Let go of what is held."""


class Records(Protocol):
    """Where the record of each upload lives; a told offset is in here."""

    async def insert(self, upload: Upload, *, durable: bool = True, most: int | None = None) -> None:
        """Record a new upload, durably unless said otherwise; raises Crowded where `most` are unfinished already."""

    async def load(self, id: UploadId) -> Upload:
        """Give the record; raises Missing."""

    async def save(self, upload: Upload, *, durable: bool = True) -> Upload:
        """Replace the record if `version` is the recorded one and `epoch` that of the lease held now.

        Gives it with the version that it has then, one higher. Durable unless said otherwise, together with all that
        was saved before. After that whoever watches the upload is told, and never waited for. Raises Stale or Missing.
        """

    async def forget(self, id: UploadId) -> None:
        """Remove the record; repeatable."""

    async def probe(self) -> None:
        """Look whether records can be read and saved at the moment; raises Full or Unreachable."""

    async def time(self) -> float | None:
        """Give the seconds since the epoch by a clock that all who use the state share, None where there is none."""

    async def promised(self) -> Promise:
        """Give what all unfinished uploads have been promised; that costs no more if there are many."""

    def due(self, now: float) -> AsyncIterator[UploadId]:
        """Give the ids of the records whose `due` is not later than `now`, earliest first."""

    async def close(self) -> None:
        """Let go of what is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to change an upload; `epoch` is higher than that of any lease on it before.

    `left_by` names a node that had a lease, never gave it up, and may still write bytes; ANYONE where there may be
    several, or nobody knows. `holds` tells, by a clock of the holder's own, whether it is still certain that nobody
    else has the lease. `record` is the record, where it had to be read to begin with.
    """

    id: UploadId
    epoch: int
    left_by: str | None = None
    holds: Callable[[], bool] = lambda: True
    record: Upload | None = None


class Leases(Protocol):
    """One writer per upload, across processes and nodes."""

    def hold(
        self,
        id: UploadId,
        *,
        wait: float,
        on_rival: Callable[[], None],
    ) -> AbstractAsyncContextManager[Lease]:
        """Hold the lease; who has it is asked to give it up by its `on_rival`, then waited for.

        `wait` is in seconds; 0 asks nobody and waits for nobody. `on_rival` is called from the event loop, also when
        the lease is lost. Raises Held, or Missing where the store knows that there is no such upload.
        """

    async def at_rest(self, id: UploadId) -> Upload | None:
        """Give the record if nobody holds the lease, nor has left it and may still write.

        That costs less than to hold it, and tells the same; None means nothing but that it has to be held.
        """

    async def fenced(self, lease: Lease, upload: Upload) -> None:
        """Note that whoever left the lease before this one can't change the bytes any more; the record is as given."""


class Events(Protocol):
    """Progress, at most once; the newest wins."""

    def subscribe(self, id: UploadId) -> AbstractAsyncContextManager[AsyncIterator[Progress]]:
        """Follow an upload from now on, once entered; a slow reader misses steps, never the last one."""


class State(Records, Leases, Events, Protocol):
    """Records, leases and events in one store."""


class SharedState(State, Protocol):
    """A state outside of the data folder, used by several nodes, that may come back empty, or as it was before."""

    def look_by(self, load: Callable[[UploadId], Awaitable[Upload]]) -> None:
        """Read the records of watched uploads in this way from now on, where no event told of them."""

    async def owner(self) -> str | None:
        """Give the name of the data folder that it belongs to, None where it is empty."""

    async def adopt(self, upload: Upload) -> None:
        """Put a record in place of a missing or an older one, with an epoch not below its own; repeatable.

        Where the lease that it was saved under is forgotten, all leases end, and it is as if ANYONE had left them.
        """

    async def claim(self, store: str) -> None:
        """Note that it belongs to a data folder, unless it belongs to one already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The seams in one value."""

    blobs: Blobs
    state: State
    durability: Durability = Durability.FULL

    async def close(self) -> None:
        """Close both stores."""
        await self.state.close()
        await self.blobs.close()
