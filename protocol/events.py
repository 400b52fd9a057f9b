"""The events by which an application learns about uploads: their types, their JSON, and who wants which of them.

An event tells of one change of an upload. It is made together with the record of that change and saved in the same
step (`Records.insert` and `Records.save` of the storage), so it can't be lost, and it waits in the outbox until it is
delivered. Its body is built once, at that moment; what a receiver gets later is what was true then.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from onward.protocol.model import CreateRequest, Role, Status, Upload, UploadId
from onward.protocol.progress import error_of, file_name, readable_metadata, timestamp

MOST_BYTES = 20_000  # of one body, as the Standard Webhooks specification recommends


class EventType(StrEnum):
    """What happened to an upload."""

    CREATED = "upload.created"
    COMPLETED = "upload.completed"
    FAILED = "upload.failed"
    TERMINATED = "upload.terminated"
    EXPIRED = "upload.expired"


_OF_STATUS = {
    Status.COMPLETED: EventType.COMPLETED,
    Status.FAILED: EventType.FAILED,
    Status.TERMINATED: EventType.TERMINATED,
    Status.EXPIRED: EventType.EXPIRED,
}


class OutgoingEvent(Struct, frozen=True, kw_only=True, gc=False):
    """One event for one target. Each type happens at most once to an upload, so upload and type identify it."""

    # The URL of a webhook, or the name of a function in the application.
    target: str
    # The same whenever and by whomever the event is delivered, and for each target.
    id: str
    upload: UploadId
    # The version of the record that tells the change.
    seq: int
    # The JSON document that is delivered.
    body: bytes
    # When it began to wait for delivery, in seconds since the epoch.
    since: float


class Subscriptions(Struct, frozen=True, gc=False):
    """Who wants to be told of which types of events: a set of types for each target."""

    targets: Mapping[str, frozenset[EventType]] = {}

    def created(self, upload: Upload) -> tuple[OutgoingEvent, ...]:
        """Return the events of the creation of an upload, as its record is now."""
        return self._of(upload, EventType.CREATED)

    def ended(self, upload: Upload) -> tuple[OutgoingEvent, ...]:
        """Return the events of the final status in a record; none for a part that is complete."""
        return self._of(upload, _end_of(upload))

    def _of(self, upload: Upload, type: EventType | None) -> tuple[OutgoingEvent, ...]:
        wanting = [target for target, types in self.targets.items() if type in types]
        if type is None or not wanting:
            return ()
        body, id_ = build_body(upload, type), event_id(upload.id, type)
        return tuple(
            OutgoingEvent(target=target, id=id_, upload=upload.id, seq=upload.version, body=body, since=upload.updated)
            for target in wanting
        )


NOBODY = Subscriptions()


def _end_of(upload: Upload) -> EventType | None:
    """Return the type of the event that a record in this status sends; None if it sends none."""
    if upload.status is Status.COMPLETED and upload.role is Role.PARTIAL:
        return None
    return _OF_STATUS.get(upload.status)


def event_id(upload: UploadId, type: EventType) -> str:
    """Return the id of an event, which receivers see as `webhook-id`; it has no full stop (Standard Webhooks)."""
    return f"{upload}_{type.rpartition('.')[2]}"


def build_body(upload: Upload, type: EventType) -> bytes:
    """Build the JSON of an event, of MOST_BYTES at most. Metadata that would make it larger is left out."""
    return _build(type, upload.updated, _data(upload))


def build_creation_question(
    creation: CreateRequest, now: float, client: str | None, headers: Mapping[str, str]
) -> bytes:
    """Build the JSON that asks an application whether an upload may be created.

    `client` is the address of the client, and `headers` are those of the request that are passed on.
    """
    data = {
        "act": "create",
        "owner": creation.owner,
        "length": creation.length,
        "metadata": readable_metadata(creation),
        "client": client,
        "headers": headers,
    }
    return msgspec.json.encode({"type": "ask.create", "timestamp": timestamp(now), "data": data})


def build_publishing_question(upload: Upload, now: float) -> bytes:
    """Build the JSON that asks an application whether a file may be published; like the event `upload.completed`."""
    return _build("ask.publish", now, _data(upload))


def _data(upload: Upload) -> dict[str, Any]:
    return {
        "uploadId": upload.id,
        "seq": upload.version,
        "status": upload.status.value,
        "fileName": file_name(upload),
        "fileSize": upload.length,
        "uploadedBytes": upload.offset,
        "sha256": upload.sha256.hex() if upload.sha256 else None,
        "contentType": upload.content_type,
        "path": upload.path,
        "url": upload.url,
        "duplicateOf": upload.duplicate_of,
        "owner": upload.owner,
        "metadata": readable_metadata(upload),
        "error": error_of(upload),
        "created": timestamp(upload.created),
        "lastUpdated": timestamp(upload.updated),
    }


def _build(type: str, at: float, data: dict[str, Any]) -> bytes:
    document = {"type": type, "timestamp": timestamp(at), "data": data}
    body = msgspec.json.encode(document)
    if len(body) > MOST_BYTES:
        _shorten(document, data)
        body = msgspec.json.encode(document)
    return body


def _shorten(document: Mapping[str, Any], data: dict[str, Any]) -> None:
    """Leave out of the metadata what does not fit, in the order in which the client wrote it; and the file name too."""
    pairs: dict[str, object] = data["metadata"]
    kept: dict[str, object] = {}
    data |= {"metadata": kept, "metadataTruncated": True}
    if len(msgspec.json.encode(document)) > MOST_BYTES:
        data["fileName"] = None
    left = MOST_BYTES - len(msgspec.json.encode(document))
    for key, value in pairs.items():
        size = len(msgspec.json.encode({key: value}))  # two braces instead of a comma: never too small
        if size <= left:
            kept[key] = value
            left -= size
