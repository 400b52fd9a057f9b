"""What an object says about itself: which upload it is of, and what is known of the file when the object is begun."""

from collections.abc import Mapping
from typing import Any

from onward.protocol.headers import build_disposition
from onward.protocol.model import UploadId
from onward.storage.base import About

OWNER, SHA256 = "onward", "sha256"  # the metadata that name the upload whose object this is, and its SHA-256
MOST_NAME = 1500  # bytes of a Content-Disposition; S3 takes 2 KiB of such metadata in all
_LINES = {"ContentType": "Content-Type", "ContentDisposition": "Content-Disposition"}


def object_params(owner: UploadId, about: About) -> dict[str, Any]:
    """Return the parameters that an object is made with, so that it names its upload and says what is known of it."""
    told: dict[str, Any] = {"Metadata": {OWNER: owner}}
    if about.sha256:
        told["Metadata"][SHA256] = about.sha256.hex()
    if about.content_type:
        told["ContentType"] = about.content_type
    if len(disposition := build_disposition("attachment", about.file_name)) <= MOST_NAME and about.file_name:
        told["ContentDisposition"] = disposition
    return told


def header_lines(told: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that say the same in a request of its own."""
    lines = {f"x-amz-meta-{name}": value for name, value in told["Metadata"].items()}
    return lines | {line: told[name] for name, line in _LINES.items() if name in told}
