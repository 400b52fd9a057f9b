"""The SHA-256 of an upload between two of its bodies.

A body may end, be recorded and be answered before all of its bytes are hashed: the rest is hashed while the next body
arrives. So a client that sends chunk after chunk does not wait for the hash of each.

    bytes       |######### chunk 1 #########|######### chunk 2 #########|  in the file, and durable
    record      |---------------------------> offset                       after the bytes, as always
    hashed      |----------------> its state is saved in the same record, and says how many bytes it is of
                                  |<- gap ->| in buffers, which a hashing thread works on

The saved state is never ahead of the recorded offset, and belongs to bytes that are stored. What follows:

- The next body finds the hash here if its record is exactly the one that was saved with it. Then no other request has
  changed the upload meanwhile, in this process or another one. Bytes below a recorded offset never change.
- Otherwise - after a crash, a takeover by another node, a wrong checksum, an error, a correction of the clock - the
  saved state is continued. The bytes of the gap are read from the file, and the new ones are hashed behind them.
- If they can't be read, nothing is known of the hash, and the whole file is read at its end.
- The last body of an upload, one with a checksum, and one of unknown length wait for all of their hash.

Where whole files are not read again (`Blobs.rereads`), no hash lags. Called by bodies.py.
"""

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from msgspec.structs import replace

from onward.protocol.model import Status, Upload, UploadId
from onward.server.uploads.hashing import HashQueue, RunningSha256
from onward.storage.base import Blobs, StorageError

BEHIND = 2**25  # bytes that a saved hash may be behind its offset; the buffers of all lagging bodies are fewer
KEPT = 256  # hashes that are kept; each takes about 1 KiB, once its blocks are hashed


class Hashing(NamedTuple):
    """A hash, and the queue that computes it."""

    running: RunningSha256
    queue: HashQueue


class KeptHashes:
    """Continues the hashes of uploads."""

    def __init__(self, blobs: Blobs, threads: ThreadPoolExecutor) -> None:
        self._blobs, self._threads = blobs, threads
        self._kept: OrderedDict[UploadId, tuple[Upload, Hashing]] = OrderedDict()

    async def take(self, recorded: Upload) -> Hashing | None:
        """Return the hash of all bytes up to the recorded offset, some of which may still wait in its queue.

        Returns None if it is not known; never raises a StorageError.
        """
        kept = self._kept.pop(recorded.id, None)
        if kept is not None and replace(kept[0], epoch=recorded.epoch) == recorded and not kept[1].queue.broken:
            return kept[1]
        lags = self._blobs.rereads
        running = RunningSha256.of(recorded, BEHIND if lags else 0)
        if running is None:
            return None
        if lags:
            running.lag(BEHIND)
        else:
            running.remember()
        hashing = Hashing(running, HashQueue(self._threads, running, lags=lags))
        if running.offset < recorded.offset:
            try:
                async for block in self._blobs.read(recorded.place, running.offset, recorded.offset):
                    hashing.queue.take(block)
            except StorageError:
                return None
        return hashing

    def keep(self, saved: Upload, hashing: Hashing) -> None:
        """Keep a hash for the next body. `saved` is the record, with the offset up to which blocks were taken."""
        if saved.status.final or saved.status is Status.VERIFYING or not hashing.queue.lags:
            return
        if hashing.queue.end == saved.offset:
            self._kept[saved.id] = saved, hashing
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
