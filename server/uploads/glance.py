"""A look at an upload that nothing has to be done for: its record is in memory, and says all there is to say.

Most requests for an offset find one. `Engine.inspect` answers the others; where both answer, they answer the same.
"""

from onward.protocol import decisions
from onward.protocol.model import Role, Status, Upload, UploadId
from onward.server.uploads.records import UploadRecords

PLAIN = frozenset({Status.PENDING, Status.UPLOADING, Status.PAUSED, Status.COMPLETED})


def glance(records: UploadRecords, id: UploadId, *, finish: bool) -> Upload | None:
    """Return the record if `Engine.inspect` would return it without waiting or finishing anything; otherwise None."""
    upload = records.remembered(id)
    if upload is None or upload.status not in PLAIN or (finish and decisions.is_filled(upload)):
        return None
    return None if upload.role is Role.FINAL and upload.status is not Status.COMPLETED else upload
