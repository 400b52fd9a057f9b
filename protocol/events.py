"""The events that an application is told about uploads: their types, and the value that waits in the outbox."""

from enum import StrEnum

from msgspec import Struct

from onward.protocol.model import UploadId


class EventType(StrEnum):
    """What happened to an upload."""

    CREATED = "upload.created"
    COMPLETED = "upload.completed"
    FAILED = "upload.failed"
    TERMINATED = "upload.terminated"
    EXPIRED = "upload.expired"


class OutgoingEvent(Struct, frozen=True, kw_only=True, gc=False):
    """One event for one target. Each type happens at most once to an upload, so upload and type identify it."""

    # The URL of a webhook, or the name of a function in the application.
    target: str
    # The same whenever and by whomever the event is delivered: made of the upload's id and the type.
    id: str
    upload: UploadId
    # The version of the record that tells the change.
    seq: int
    # The JSON document that is delivered.
    body: bytes
    # When it happened, in seconds since the epoch.
    created: float
