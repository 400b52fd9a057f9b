"""An upload as it appears in a list: the progress object that watchers get, with what only its owner may see."""

import json
from base64 import b64encode
from typing import Any

from onward.protocol.headers import parse_metadata
from onward.protocol.lifecycle import TRANSITIONS, Change
from onward.protocol.model import Upload
from onward.protocol.progress import progress, timestamp


def listed(upload: Upload) -> dict[str, Any]:
    """Return the progress object of an upload, with its metadata, and with when it was created and will expire."""
    expires = upload.expires if (upload.status, Change.EXPIRE) in TRANSITIONS else None
    told: dict[str, Any] = json.loads(progress(upload).json)
    return told | {
        "metadata": {key: readable_value(value) for key, value in parse_metadata(upload.metadata or "").items()},
        "created": timestamp(upload.created),
        "expires": None if expires is None else timestamp(expires),
    }


def readable_value(value: bytes) -> str | dict[str, str]:
    """Return a value of the metadata as text, or as Base64 if it is not UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}
