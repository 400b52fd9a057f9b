"""The data folder of an earlier version is opened: its uploads are resumed and finished, and nothing of it is lost.

The folder has one upload of each status. With SQLite the records are in the state itself. Redis is empty, so that they
are adopted from their backups in the data folder.
"""

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from http_connection import Headers, Tus, poll
from old_data_folder import SIZE, OldUpload, build_old_folder, content
from server_process import Server, serving

pytestmark = pytest.mark.slow
GONE = {"failed": "checksum-mismatch", "lost": "lost", "terminated": None}
UNFINISHED = ("pending", "paused", "running", "volatile")
COMPLETE = ("completed", "verifying", "published", "empty")


@dataclass(frozen=True, slots=True)
class Reopened:
    """The present server on an old data folder."""

    server: Server
    uploads: dict[str, OldUpload]

    @property
    def tus(self) -> Tus:
        """Requests to the server."""
        return self.server.tus

    def path(self, name: str) -> str:
        """Give the path of the URL of an upload."""
        return f"/files/{self.uploads[name].record['id']}"


@pytest.fixture(params=["sqlite", "redis"])
def reopened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reopened]:
    kind: str = request.param
    uploads = build_old_folder(kind, tmp_path / "data")
    options = () if kind == "sqlite" else (f"--state={request.getfixturevalue('redis_url')}",)
    with serving(tmp_path / "data", options) as server:
        yield Reopened(server, uploads)


def check_complete(tus: Tus, path: str, data: bytes) -> None:
    """Check what a client sees of a completed upload: its offset, its SHA-256, and its bytes."""
    head, download = tus.head(path), tus.ask("GET", path)
    assert (head.status, head["Upload-Offset"]) == (200, str(len(data)))
    assert head["Repr-Digest"] == f"sha-256=:{b64encode(hashlib.sha256(data).digest()).decode()}:"
    assert (download.status, download.body) == (200, data)


def test_every_unfinished_upload_is_resumed_where_it_stopped_and_finished(reopened: Reopened) -> None:
    tus = reopened.tus
    for name in UNFINISHED:
        path, stored, data = reopened.path(name), reopened.uploads[name].record["offset"], content(name)
        tus.check_holds(path, data, stored)
        check_complete(tus, path, data)
    path, stored, data = reopened.path("deferred"), reopened.uploads["deferred"].record["offset"], content("deferred")
    assert tus.offset(path) == stored
    length: Headers = {"Upload-Length": str(SIZE)}
    assert tus.patch(path, stored, data[stored:], length).status == 204
    check_complete(tus, path, data)


def test_a_resumed_upload_is_still_judged_by_the_hash_that_was_promised(reopened: Reopened) -> None:
    path, stored = reopened.path("paused"), reopened.uploads["paused"].record["offset"]
    assert reopened.tus.patch(path, stored, b"x" * (SIZE - stored)).status == 460
    assert reopened.tus.head(path).status == 410


def test_what_was_complete_is_served_and_an_interrupted_verification_is_finished(reopened: Reopened) -> None:
    for name in COMPLETE:
        check_complete(reopened.tus, reopened.path(name), b"" if name == "empty" else content(name))


def test_a_final_upload_is_joined_once_its_last_part_is_finished(reopened: Reopened) -> None:
    tus, part = reopened.tus, reopened.path("second part")
    stored = reopened.uploads["second part"].record["offset"]
    assert tus.offset(reopened.path("first part")) == SIZE
    assert tus.offset(part) == stored
    assert tus.patch(part, stored, content("second part")[stored:]).status == 204
    final = reopened.path("final")
    poll(lambda: "Upload-Offset" in tus.head(final))  # the sweep may be joining it at this moment
    check_complete(tus, final, content("first part") + content("second part"))


def test_what_failed_or_was_terminated_stays_gone_with_its_reason(reopened: Reopened) -> None:
    for name, code in GONE.items():
        path = reopened.path(name)
        assert reopened.tus.head(path).status == 410, name
        assert reopened.tus.patch(path, reopened.uploads[name].record["offset"], b"x").status == 410, name
        message = json.loads(reopened.tus.progress(path))
        assert (message["error"] or {}).get("code") == code, message
