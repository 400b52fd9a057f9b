"""When uploads fall silent: those for which this process has received bytes lately, in the order of their last bytes.

An upload without new bytes for `--quiet-after` is reported as `paused`. To do that on time and cheaply, each record
that is saved makes one entry in a dictionary, and one task of the sweep sleeps until the first entry is due. No request
needs a timer of its own. If this process dies, the sweep of any server finds its uploads later.
"""

import asyncio
from time import monotonic

from onward.protocol.model import Status, Upload, UploadId

TOGETHER = 0.05  # seconds to sleep at least, so that uploads that fall silent at about the same time share a wake-up


class Silence:
    """The uploads that are being sent, and when each of them is paused if no more bytes come."""

    def __init__(self, quiet_after: float) -> None:
        self._quiet_after = quiet_after
        self._waiting: dict[UploadId, tuple[float, int]] = {}
        self._some = asyncio.Event()

    def note(self, upload: Upload) -> None:
        """Note that a record was just saved."""
        self._waiting.pop(upload.id, None)
        if upload.status is Status.UPLOADING:
            self._waiting[upload.id] = monotonic() + self._quiet_after, upload.version
            self._some.set()

    async def fallen(self) -> tuple[UploadId, int]:
        """Wait for the next upload that falls silent; returns its id and the version of its last record."""
        while True:
            for id_, (at, version) in self._waiting.items():
                if (wait := at - monotonic()) > 0:
                    await asyncio.sleep(max(wait, TOGETHER))
                    break
                del self._waiting[id_]
                return id_, version
            else:
                self._some.clear()
                await self._some.wait()
