"""Equal files of one owner: found by their SHA-256, told of as `duplicateOf`, and shared where the file system can.

    sealed          the file is whole, verified, durable and has its name
      -> find       a hint in the state names the upload that had this SHA-256 last; only its record is believed
      -> share      the store compares both files, and shares what is equal
    record          `completed`, with the id of the earlier upload
      -> note       the hint names this upload from now on

Only uploads of the same owner are compared: whoever was told of a stranger's file could find out who has which. That
uploads without an owner belong together is the same rule. Nothing in here can fail an upload: it is whole before, and
what goes wrong is logged. A hint that is lost costs the room of one file.

Called by completion.py, and by engine.py when an upload ends.
"""

import hashlib
import logging
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from onward.protocol import decisions
from onward.protocol.errors import Refusal
from onward.protocol.model import Role, Status, Upload
from onward.server.uploads.interrupt import Interrupt
from onward.server.uploads.records import UploadRecords
from onward.storage.base import Missing, StorageError
from onward.storage.failpoints import reach
from onward.storage.failure_log import shorten_ids

log = logging.getLogger("onward")


class Duplicates:
    """Finds and shares equal files, unless it is switched off."""

    def __init__(self, records: UploadRecords, *, on: bool) -> None:
        self._records, self._on = records, on
        self._blobs, self._hints = records.storage.blobs, records.storage.state.hints

    async def share(self, upload: Upload, sha256: bytes, interrupt: Interrupt) -> Upload:
        """Share the blocks of a published file with an earlier one; returns the record with what is known of that one.

        Work that is to stop is only cut short. May be repeated.
        """
        if not self._on:
            return upload
        try:
            equal = await self._find(upload, sha256)
            if equal is None:
                return upload
            with suppress(Refusal):  # of the interrupt: the file is published already, so its record comes first
                await self._blobs.share(upload.place, equal.place, upload.offset, interrupt.check)
        except StorageError as fault:  # perhaps the other file is not what its record says
            log.warning("upload %s… shares nothing with an equal one: %s", upload.id[:8], shorten_ids(str(fault)))
            return upload
        reach("shared")
        return replace(upload, duplicate_of=equal.id)

    async def _find(self, upload: Upload, sha256: bytes) -> Upload | None:
        """Return a completed upload of the same owner with the same SHA-256; None if none is known."""
        id_ = await self._hints.get(hint_of(upload.owner, sha256))
        if id_ is None:
            return None
        try:
            known = await self._records.load(id_)
        except Missing:
            return None
        is_there = known.status is Status.COMPLETED and not decisions.is_expired(known, self._records.clock())
        is_equal = (known.owner, known.sha256, known.offset) == (upload.owner, sha256, upload.offset)
        return known if is_there and is_equal and known.role is not Role.PARTIAL else None

    async def note(self, completed: Upload) -> None:
        """Let the next equal upload find this one."""
        if self._on and completed.sha256:
            with suppress(StorageError):
                await self._hints.put(hint_of(completed.owner, completed.sha256), completed.id)

    async def forget(self, ended: Upload) -> None:
        """Let the next equal upload find an earlier one than this, whose bytes are removed."""
        if self._on and ended.sha256:
            with suppress(StorageError):
                key = hint_of(ended.owner, ended.sha256)
                if await self._hints.get(key) == ended.id:
                    await self._hints.put(key, ended.duplicate_of)


def hint_of(owner: str | None, sha256: bytes) -> str:
    """Build the key of a hint, which says neither who the owner is nor what the file has."""
    return hashlib.sha256(msgspec.json.encode(owner) + sha256).hexdigest()
