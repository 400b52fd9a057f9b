"""What a watcher is told."""

import json
from base64 import b64encode

import pytest
from msgspec.structs import replace

from onward.protocol.model import LOST, Place, Status, Upload, UploadId
from onward.protocol.progress import media_type, progress

UPLOAD = Upload(
    id=UploadId("i"), place=Place("p"), status=Status.UPLOADING, length=1048576, offset=512000,
    metadata="filename ZG9jdW1lbnQucGRm", promised=None, rate=1250000.0, created=0.0, updated=1764000000.123, version=17,
)  # fmt: skip


def test_a_message_has_the_whole_state() -> None:
    told = progress(UPLOAD)
    assert (told.id, told.seq, told.final) == ("i", 17, False)
    assert json.loads(told.json) == {
        "uploadId": "i", "seq": 17, "status": "uploading", "fileName": "document.pdf", "fileSize": 1048576,
        "uploadedBytes": 512000, "receivedBytes": 512000, "progress": 48.8, "completed": False, "bytesPerSecond": 1250000, "etaSeconds": 0.43,
        "sha256": None, "error": None, "lastUpdated": "2025-11-24T16:00:00.123Z",
    }  # fmt: skip


def test_bytes_that_have_arrived_are_told_while_they_may_still_be_stored() -> None:
    told = progress(UPLOAD, 524288)
    assert (told.received, json.loads(told.json)["receivedBytes"]) == (524288, 524288)
    assert told.order > progress(UPLOAD).order
    assert progress(replace(UPLOAD, version=18)).order > told.order
    assert progress(UPLOAD, 5).received == 512000
    for status in (Status.PENDING, Status.PAUSED):
        message = json.loads(progress(replace(UPLOAD, status=status), 524288).json)
        assert (message["status"], message["receivedBytes"], message["uploadedBytes"]) == ("uploading", 524288, 512000)
        assert json.loads(progress(replace(UPLOAD, status=status), 512000).json)["status"] == status
    assert json.loads(progress(replace(UPLOAD, status=Status.FAILED), 524288).json)["receivedBytes"] == 512000


def test_what_is_unknown_is_null() -> None:
    told = json.loads(progress(replace(UPLOAD, length=None, metadata="name eA==", rate=0.0)).json)
    assert (told["fileSize"], told["progress"], told["etaSeconds"], told["fileName"]) == (None, None, None, "x")
    told = json.loads(progress(replace(UPLOAD, status=Status.PAUSED, metadata=None)).json)
    assert (told["bytesPerSecond"], told["etaSeconds"], told["fileName"]) == (0, None, None)


def test_messages_say_how_uploads_ended() -> None:
    done = progress(replace(UPLOAD, status=Status.COMPLETED, length=0, offset=0, sha256=b"\x01" * 32))
    told = json.loads(done.json)
    assert done.final
    assert (told["completed"], told["progress"], told["sha256"]) == (True, 100.0, "01" * 32)
    lost = json.loads(progress(replace(UPLOAD, status=Status.FAILED, failure=LOST)).json)
    assert lost["error"] == {"code": "lost", "title": "Stored bytes were lost"}
    assert "contentType" not in lost


def test_a_completed_message_has_the_type_that_a_check_has_recognised() -> None:
    done = replace(UPLOAD, status=Status.COMPLETED, offset=10, content_type="text/plain")
    assert json.loads(progress(done).json)["contentType"] == "text/plain"
    assert json.loads(progress(replace(done, content_type=None)).json)["contentType"] is None


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (b"Image/PNG", "image/png"),
        (b" text/html; charset=utf-8", "text/html"),
        (b"application/vnd.a+b", "application/vnd.a+b"),
        (b"image", None),
        (b"a/b\r\nX: y", None),
        (b"\xff/b", None),
        (b"a/" + b"b" * 101, None),
        (b"", None),
    ],
)
def test_only_a_usable_media_type_is_taken_from_the_metadata(said: bytes, found: str | None) -> None:
    assert media_type(replace(UPLOAD, metadata=f"filetype {b64encode(said).decode()}")) == found
    assert media_type(replace(UPLOAD, metadata=None)) is None
