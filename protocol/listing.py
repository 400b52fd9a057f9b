"""An upload as it appears in a list: the progress object that watchers get, with what only its owner may see."""

import json
from typing import Any

from onward.protocol.lifecycle import TRANSITIONS, Change
from onward.protocol.model import Status, Upload
from onward.protocol.progress import progress, readable_metadata, timestamp


def listed(upload: Upload) -> dict[str, Any]:
    """Return the progress object of an upload, with its metadata, and with when it was created and will expire.

    An operator, and an owner, may know of any earlier equal upload.
    """
    expires = upload.expires if (upload.status, Change.EXPIRE) in TRANSITIONS else None
    told: dict[str, Any] = json.loads(progress(upload).json)
    if upload.status is Status.COMPLETED:
        told["duplicateOf"] = upload.duplicate_of
    return told | {
        "metadata": readable_metadata(upload),
        "created": timestamp(upload.created),
        "expires": None if expires is None else timestamp(expires),
    }
