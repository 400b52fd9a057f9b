"""Uploads that this process received bytes of lately, in the order in which they fall silent.

With this `paused` is told punctually and at the cost of one entry in a dictionary for each body: one task sleeps until
the first of them is due, and no request has a timer of its own. Where this process dies, the sweep of any finds them.
"""

import asyncio
from time import monotonic

from onward.protocol.model import Status, Upload, UploadId

TOGETHER = 0.05  # seconds within which uploads that fall silent are told together


class Silence:
    """The uploads that are being sent, by when they are to be told as paused if nothing more comes."""

    def __init__(self, quiet_after: float) -> None:
        self._quiet_after = quiet_after
        self._waiting: dict[UploadId, tuple[float, int]] = {}
        self._some = asyncio.Event()

    def note(self, upload: Upload) -> None:
        """Note a record that was saved just now."""
        self._waiting.pop(upload.id, None)
        if upload.status is Status.UPLOADING:
            self._waiting[upload.id] = monotonic() + self._quiet_after, upload.version
            self._some.set()

    async def fallen(self) -> tuple[UploadId, int]:
        """Wait for the next one that has fallen silent; returns it with the version that it had then."""
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
