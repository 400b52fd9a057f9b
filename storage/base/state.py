"""The seam of the state: records, leases, events and the outbox in one store; and the storage as a whole.

Progress is sent to those who watch an upload (`server/watch`). It is a hint, not the truth: messages may be skipped,
but the newest one always arrives, and the record can be read at any time.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from onward.protocol.events import NOBODY, OutgoingEvent, Subscriptions
from onward.protocol.model import Upload, UploadId
from onward.protocol.progress import Progress
from onward.storage.base.backups import Backups
from onward.storage.base.blobs import BlobStore, Durability
from onward.storage.base.creation_keys import CreationKeys
from onward.storage.base.hints import Hints
from onward.storage.base.leases import Leases
from onward.storage.base.nodes import Nodes
from onward.storage.base.outbox import Outbox
from onward.storage.base.quotas import Quotas
from onward.storage.base.records import Records


class Events(Protocol):
    """Progress, delivered at most once; the newest message replaces older ones that were not read yet."""

    def subscribe(self, id: UploadId) -> AbstractAsyncContextManager[AsyncIterator[Progress]]:
        """Follow an upload from the moment that the context is entered; raises nothing.

        A slow reader misses steps in between, but never the last one.
        """

    def count_arrived_by(self, arrived: Callable[[UploadId], int]) -> None:
        """Call `arrived` from now on for each message: up to which position bytes have arrived here, or 0."""

    async def tell(self, upload: Upload) -> bool:
        """Send a message about more bytes that have arrived since a record was saved; it may be lost.

        Returns whether somebody may have heard it. Raises nothing.
        """


class State(Records, Leases, Events, Protocol):
    """Records, leases, events and the outbox in one store."""

    @property
    def is_own(self) -> bool:
        """Return whether this process alone uses the state, as long as it is open."""

    @property
    def outbox(self) -> Outbox:
        """The events that wait for delivery."""

    @property
    def hints(self) -> Hints:
        """Which completed uploads may have the same bytes as a new one."""

    @property
    def creation_keys(self) -> CreationKeys:
        """Which uploads the keys of creations stand for."""

    @property
    def quotas(self) -> Quotas:
        """What is reserved for each owner."""


class SharedState(State, Protocol):
    """A state outside of the data folder that several nodes use; it may come back empty, or with older records.

    Every method but those that take a function to call from now on may raise Full or Unreachable.
    """

    async def insert(
        self,
        upload: Upload,
        *,
        durable: bool = True,
        most: int | None = None,
        events: Sequence[OutgoingEvent] = (),
        begin: Callable[[], Awaitable[None]] = ...,
    ) -> None:
        """Record a new upload, as every state does. `begin`, which may raise, is called before it is recorded.

        By then all that the upload takes is reserved: it was neither Crowded nor Exceeded.
        """

    def read_watched_by(self, load: Callable[[UploadId], Awaitable[Upload]]) -> None:
        """Use `load` from now on to read the record of a watched upload when no message about it has come for long."""

    def fill_before_count(self, fill: Callable[[], Awaitable[None]]) -> None:
        """Call `fill` from now on before the reservations of an owner are counted: it adopts what is missing."""

    def refresh_before_examination(self, refresh: Callable[[UploadId], Awaitable[None]]) -> None:
        """Call `refresh` from now on before the sweep examines a reservation: it adopts the record if that is old."""

    async def owner(self) -> str | None:
        """Return the name of the data folder that the state belongs to, or None if the state is empty."""

    async def whole(self) -> bool:
        """Return False if the state, or a part of it, is empty since it was claimed, or was not claimed yet."""

    async def adopt(
        self, upload: Upload, *, created: Sequence[OutgoingEvent] = (), ended: Sequence[OutgoingEvent] = ()
    ) -> None:
        """Put a record in the place of a missing or older one, with an epoch not below its own; may be repeated.

        The events of its end are put into the outbox in the same step, unless the older record had the same status;
        if there are none and the record was missing, those of its creation.
        If the state has forgotten the lease that the record was saved under, all leases on the upload end, as if
        ANYONE had left them.
        """

    async def claim(self, store: str) -> None:
        """Note that the state belongs to a data folder, unless it belongs to one already."""


@dataclass(frozen=True, kw_only=True)
class StoredBytes:
    """What the URL of a store of bytes opens: the bytes, and what is kept beside them."""

    blobs: BlobStore
    backups: Backups
    nodes: Nodes

    async def close(self) -> None:
        """Close the bytes; the node counts as alive until the last write is over."""
        await self.blobs.close()
        await self.nodes.close()


@dataclass(frozen=True, kw_only=True)
class Storage(StoredBytes):
    """All stores of a server, in one value."""

    state: State
    durability: Durability = Durability.FULL
    subscriptions: Subscriptions = NOBODY  # which events are saved with the records

    async def close(self) -> None:
        """Close the state, then the bytes."""
        await self.state.close()
        await super().close()
