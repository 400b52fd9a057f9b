"""Leases and events of a state that belongs to one process; SQLite and memory add the records."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from onward.protocol.model import Upload, UploadId
from onward.protocol.progress import Progress, progress
from onward.storage.base import Lease, Missing
from onward.storage.state.hub import Hub
from onward.storage.state.leases import LocalLeases


class Local(ABC):
    """Leases and events inside one process."""

    is_own = True

    def __init__(self) -> None:
        self._hub = Hub()
        self._leases = LocalLeases()
        self._arrived: Callable[[UploadId], int] = lambda _: 0

    def hold(
        self,
        id: UploadId,
        *,
        wait: float,
        on_rival: Callable[[], None],
    ) -> AbstractAsyncContextManager[Lease]:
        """Hold the lease; raises Held."""
        return self._leases.hold(id, wait=wait, on_rival=on_rival)

    async def time(self) -> float | None:
        """Return None: there is no clock but that of this process."""
        return None

    @abstractmethod
    async def load(self, id: UploadId, *, fresh: bool = False) -> Upload:
        """Return the record; raises Missing."""

    async def at_rest(self, ids: Sequence[UploadId]) -> list[Upload | None]:
        """Return each record if no request holds the lease, neither before nor after it is read; otherwise None."""
        return [await self._at_rest(id_) for id_ in ids]

    async def _at_rest(self, id: UploadId) -> Upload | None:
        if self._leases.held(id):
            return None
        try:
            upload = await self.load(id)
        except Missing:
            return None
        return None if self._leases.held(id) else upload

    def remembered(self, id: UploadId) -> Upload | None:
        """Return the record if it is in memory and no request holds the lease; otherwise None."""
        return None if self._leases.held(id) else self._in_memory(id)

    @abstractmethod
    def _in_memory(self, id: UploadId) -> Upload | None:
        """Return the record if it can be read without waiting."""

    async def fenced(self, lease: Lease, upload: Upload) -> None:  # noqa: B027
        """Do nothing: a lease dies with its process."""

    def _notify(self, saved: Upload) -> None:
        """Send the progress to the watchers of this process, if there are any."""
        if self._hub.count(saved.id):
            self._hub.deliver(progress(saved, self._arrived(saved.id)))

    def count_arrived_by(self, arrived: Callable[[UploadId], int]) -> None:
        """Ask `arrived` for each message how many bytes have arrived."""
        self._arrived = arrived

    async def tell(self, upload: Upload) -> bool:
        """Send a message about more bytes to the watchers of this process, if there are any."""
        self._notify(upload)
        return self._hub.count(upload.id) > 0

    @asynccontextmanager
    async def subscribe(self, id: UploadId) -> AsyncIterator[AsyncIterator[Progress]]:
        """Follow an upload from now on."""
        with self._hub.mailbox(id) as mailbox:
            yield mailbox
