"""Looks up an upload without its lease: enough if no request changes it, and its record says all there is to say.

Most requests for an offset find such an upload. `Engine.inspect` answers the others; where both can answer, they answer
the same.
"""

from onward.protocol import decisions
from onward.protocol.model import Role, Status, Upload, UploadId
from onward.server.uploads.records import UploadRecords

PLAIN = frozenset({Status.PENDING, Status.UPLOADING, Status.PAUSED, Status.COMPLETED})


def look_up(records: UploadRecords, id: UploadId, *, finish: bool) -> Upload | None:
    """Return the record if it is in memory, and if `Engine.inspect` would return it as it is; otherwise None.

    `finish` is that of `Engine.inspect`.
    """
    return _plain(records, records.remembered(id), finish=finish)


async def look_up_in_store(records: UploadRecords, id: UploadId, *, finish: bool) -> Upload | None:
    """Return the record if `Engine.inspect` would return it as it is; otherwise None. Raises StorageError."""
    return _plain(records, await records.at_rest(id), finish=finish)


def _plain(records: UploadRecords, resting: Upload | None, *, finish: bool) -> Upload | None:
    if resting is None or resting.status not in PLAIN or decisions.is_expired(resting, records.clock()):
        return None
    if finish and decisions.is_filled(resting):
        return None
    return None if resting.role is Role.FINAL and resting.status is not Status.COMPLETED else resting
