"""Leases and events of a state that one process has to itself."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from onward.protocol.model import Upload, UploadId
from onward.protocol.progress import Progress, progress
from onward.storage.base import Lease, Missing
from onward.storage.state.hub import Hub
from onward.storage.state.leases import LocalLeases


class Local(ABC):
    """Leases and events of a state that one process has to itself."""

    def __init__(self) -> None:
        self._hub = Hub()
        self._leases = LocalLeases()

    def hold(
        self,
        id: UploadId,
        *,
        wait: float,
        on_rival: Callable[[], None],
    ) -> AbstractAsyncContextManager[Lease]:
        """Hold the lease as the seam says."""
        return self._leases.hold(id, wait=wait, on_rival=on_rival)

    async def time(self) -> float | None:
        """Leave it to the clock of this process: there is no other one."""
        return None

    @abstractmethod
    async def load(self, id: UploadId) -> Upload:
        """Give the record."""

    async def at_rest(self, id: UploadId) -> Upload | None:
        """Give the record if nobody holds the lease before or after it is read."""
        if self._leases.held(id):
            return None
        try:
            upload = await self.load(id)
        except Missing:
            return None
        return None if self._leases.held(id) else upload

    async def fenced(self, lease: Lease, upload: Upload) -> None:  # noqa: B027
        """Nobody leaves a lease of a process and lives on."""

    def _tell(self, saved: Upload) -> None:
        """Tell the watchers of this process, if there are any."""
        if self._hub.count(saved.id):
            self._hub.deliver(progress(saved))

    @asynccontextmanager
    async def subscribe(self, id: UploadId) -> AsyncIterator[AsyncIterator[Progress]]:
        """Follow an upload from now on."""
        with self._hub.mailbox(id) as mailbox:
            yield mailbox
