"""What an application is told about an upload: the JSON, its size, its id, and who is told."""

import json
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from onward.protocol.events import (
    MOST_BYTES,
    NOBODY,
    EventType,
    Subscriptions,
    build_body,
    build_creation_question,
    build_publishing_question,
    event_id,
)
from onward.protocol.headers import build_metadata
from onward.protocol.model import LOST, Concat, CreateRequest, Place, Role, Status, Upload, UploadId

UPLOAD = Upload(
    id=UploadId("ab" * 16), place=Place("p"), status=Status.COMPLETED, length=1048576, offset=1048576,
    metadata="filename YS5wZGY=,empty", content_type="application/pdf", promised=None, sha256=b"\x01" * 32, created=1764000000.0,
    updated=1764000010.123, version=9,
)  # fmt: skip
EVERY = Subscriptions({"https://a.example": frozenset(EventType), "b": frozenset({EventType.FAILED})})


def test_the_body_is_what_the_documentation_shows() -> None:
    body = build_body(UPLOAD, EventType.COMPLETED)
    told = json.loads(body)
    assert told == {
        "type": "upload.completed",
        "timestamp": "2025-11-24T16:00:10.123Z",
        "data": {
            "uploadId": "ab" * 16, "seq": 9, "status": "completed", "fileName": "a.pdf", "fileSize": 1048576,
            "uploadedBytes": 1048576, "sha256": "01" * 32, "contentType": "application/pdf", "path": None, "url": None,
            "duplicateOf": None, "owner": None, "metadata": {"filename": "a.pdf", "empty": ""}, "error": None,
            "created": "2025-11-24T16:00:00.000Z", "lastUpdated": "2025-11-24T16:00:10.123Z",
        },
    }  # fmt: skip


def test_a_failure_is_told_with_its_reason() -> None:
    failed = replace(UPLOAD, status=Status.FAILED, failure=LOST, sha256=None, length=None, metadata=None)
    data = json.loads(build_body(failed, EventType.FAILED))["data"]
    assert data["error"] == {"code": "lost", "title": "Stored bytes were lost"}
    assert (data["sha256"], data["fileSize"], data["fileName"], data["metadata"]) == (None, None, None, {})


def test_metadata_that_is_not_text_is_base64() -> None:
    binary = replace(UPLOAD, metadata=build_metadata({"a": "é".encode(), "b": b"\xff\x00"}))
    assert json.loads(build_body(binary, EventType.COMPLETED))["data"]["metadata"] == {
        "a": "é",
        "b": {"base64": b64encode(b"\xff\x00").decode()},
    }


def test_metadata_that_is_too_large_is_left_out_and_the_rest_stays() -> None:
    pairs = {"small": b"1", "large": b"\x01" * 2900, "last": b"2", "name": b"x"}
    large = replace(UPLOAD, metadata=build_metadata(pairs))
    data = json.loads(build_body(large, EventType.COMPLETED))["data"]
    assert (len(data["metadata"]["large"]), "metadataTruncated" in data) == (2900, False)
    larger = replace(UPLOAD, metadata=build_metadata({"small": b"1", "filename": b"\x01" * 2900, "last": b"2"}))
    body = build_body(larger, EventType.COMPLETED)
    data = json.loads(body)["data"]
    assert len(body) <= MOST_BYTES
    assert (data["metadata"], data["metadataTruncated"]) == ({"small": "1", "last": "2"}, True)
    assert len(data["fileName"]) == 2900


def test_a_file_name_that_is_too_large_is_left_out_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onward.protocol.events.MOST_BYTES", 1000)
    large = replace(UPLOAD, metadata=build_metadata({"filename": b"\x01" * 200, "b": b"2"}))
    body = build_body(large, EventType.COMPLETED)
    data = json.loads(body)["data"]
    assert len(body) <= 1000
    assert (data["fileName"], data["metadata"], data["metadataTruncated"]) == (None, {"b": "2"}, True)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=5), st.binary(max_size=1500), max_size=3))
def test_a_body_is_never_too_large_and_always_json(pairs: dict[str, bytes]) -> None:
    metadata = build_metadata({"filename": b"\x00" * 700} | pairs)
    if len(metadata) <= 4096:
        body = build_body(replace(UPLOAD, metadata=metadata), EventType.COMPLETED)
        assert len(body) <= MOST_BYTES
        assert set(json.loads(body)["data"]["metadata"]) <= {"filename", *pairs}


def test_an_event_goes_to_those_who_want_it() -> None:
    failed = replace(UPLOAD, status=Status.FAILED, failure=LOST)
    assert [event.target for event in EVERY.ended(failed)] == ["https://a.example", "b"]
    (event,) = EVERY.ended(UPLOAD)
    assert (event.target, event.id, event.upload, event.seq, event.since) == (
        "https://a.example", f"{'ab' * 16}_completed", UPLOAD.id, 9, 1764000010.123,
    )  # fmt: skip
    assert event.body == build_body(UPLOAD, EventType.COMPLETED)
    assert NOBODY.created(UPLOAD) == NOBODY.ended(UPLOAD) == ()


def types(events: tuple[object, ...]) -> list[str]:
    """Give the types of events, from their bodies."""
    return [json.loads(event.body)["type"] for event in events]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        (Status.PENDING, []),
        (Status.UPLOADING, []),
        (Status.VERIFYING, []),
        (Status.COMPLETED, ["upload.completed"]),
        (Status.FAILED, ["upload.failed"]),
        (Status.TERMINATED, ["upload.terminated"]),
        (Status.EXPIRED, ["upload.expired"]),
    ],
)
def test_each_status_has_its_event(status: Status, ended: list[str]) -> None:
    only = Subscriptions({"a": frozenset(EventType)})
    upload = replace(UPLOAD, status=status, failure=LOST if status is Status.FAILED else None)
    assert types(only.created(upload)) == ["upload.created"]
    assert types(only.ended(upload)) == ended


def test_a_complete_part_is_not_told_but_its_end_is() -> None:
    only = Subscriptions({"a": frozenset(EventType)})
    part = replace(UPLOAD, concat=Concat(role=Role.PARTIAL, told="partial"))
    assert only.ended(part) == ()
    assert types(only.ended(replace(part, status=Status.TERMINATED))) == ["upload.terminated"]


def test_an_id_is_the_same_for_the_same_event_and_has_no_full_stop() -> None:
    ids = {event_id(UploadId(upload), kind) for upload in ("a", "b") for kind in EventType for _ in range(2)}
    assert len(ids) == 2 * len(EventType)
    assert not any("." in id_ for id_ in ids)


def test_a_question_about_a_creation_says_who_asks_for_what() -> None:
    creation = CreateRequest(
        length=None, metadata="a YQ==,b /w==", promised=None, body_size=0, has_body=False, owner="o"
    )
    question = json.loads(build_creation_question(creation, 1764000010.123, "192.0.2.1", {"cookie": "c"}))
    assert question == {
        "type": "ask.create",
        "timestamp": "2025-11-24T16:00:10.123Z",
        "data": {
            "act": "create", "owner": "o", "length": None, "metadata": {"a": "a", "b": {"base64": "/w=="}},
            "client": "192.0.2.1", "headers": {"cookie": "c"},
        },
    }  # fmt: skip


def test_a_question_about_publishing_is_like_the_event() -> None:
    verifying = replace(UPLOAD, status=Status.VERIFYING)
    question = json.loads(build_publishing_question(verifying, 1764000020.5))
    assert (question["type"], question["timestamp"]) == ("ask.publish", "2025-11-24T16:00:20.500Z")
    assert question["data"] == json.loads(build_body(verifying, EventType.COMPLETED))["data"]
    assert question["data"]["status"] == "verifying"
