"""Short uploads that one PATCH brings whole: one step on the disk, one record, and whatever a crash leaves is no harm."""

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp
import pytest
import tus_requests as tus
from bodies import WholeBody
from embedded_server import embedded

from onward.protocol.errors import Unavailable
from onward.protocol.events import EventType, Subscriptions
from onward.protocol.model import AppendRequest, CreateRequest, Limits, Status, Upload, UploadId
from onward.protocol.naming import parse_layout
from onward.server.uploads.engine import Engine
from onward.server.uploads.publishing import AS_IDS, Publishing
from onward.server.uploads.short_uploads import MemoryBody
from onward.storage import failpoints, open_storage
from onward.storage.base import Storage, StorageError
from onward.storage.blobs.disk import DiskBlobs

DATA, OTHER = b"all of it", b"no, these"
ASKED = CreateRequest(length=len(DATA), metadata=None, promised=None, body_size=0, has_body=False)
ALL = AppendRequest(offset=0, length=None, promised=None, body_size=len(DATA))
BOTH = Subscriptions({"me": frozenset(EventType)})
AT_ONCE = ["judged", "written", "synced", "sealing", "renamed", "sealed", "recorded", "answering"]
DRAFT = {"Upload-Draft-Interop-Version": "8", "Upload-Complete": "?1"}


def names(data: Path) -> set[str]:
    return {f"{folder}/{path.name}" for folder in ("partial", "files") for path in (data / folder).iterdir()}


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    """A SQLite file and a folder."""
    opened = await open_storage(state="sqlite:", blobs="file:", data=tmp_path / "data", subscriptions=BOTH)
    yield opened
    await opened.close()


def engine_on(storage: Storage, publishing: Publishing = AS_IDS) -> Engine:
    return Engine(storage, Limits(), lease_wait=1, publishing=publishing)


@pytest.fixture
def engine(storage: Storage) -> Engine:
    """An engine on that."""
    return engine_on(storage)


def brought(data: bytes) -> MemoryBody:
    return MemoryBody(data, WholeBody(b""))


async def interrupted(engine: Engine) -> Upload:
    """Create an upload, and leave it as a crash does between the file and the record."""

    async def die(*_: object, **__: object) -> Upload:
        raise StorageError("nobody knows")

    upload = await engine.create(ASKED)
    with patch.object(engine.records, "end", die), pytest.raises(StorageError):
        await engine.append(upload.id, ALL, brought(DATA))
    return await engine.inspect(upload.id)


async def test_a_short_patch_is_published_with_one_record(
    http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with embedded(tmp_path / "data", state="sqlite:") as url:
        location, reached = await tus.create(http, url, len(DATA)), list[str]()
        monkeypatch.setattr(failpoints, "armed", reached.append)
        answer = await tus.patch(http, location, 0, DATA)
        assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(len(DATA)))
        assert reached == AT_ONCE
        path = tmp_path / "data" / "files" / location.rpartition("/")[2]
        assert path.read_bytes() == DATA
        assert path.stat().st_mode & 0o777 == 0o440
        assert names(tmp_path / "data") == {f"files/{path.name}"}
        assert (await tus.head(http, location)).headers["Repr-Digest"] == answer.headers["Repr-Digest"]
        again = await tus.patch(http, location, 0, DATA)
        assert (again.status, again.headers["Upload-Offset"]) == (409, str(len(DATA)))
        assert (await tus.patch(http, location, len(DATA), b"")).status == 204


async def test_other_ways_to_bring_a_short_file_end_with_one_record_too(
    http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = list[str]()
    async with embedded(tmp_path / "data", state="sqlite:") as url:
        ways: list[tuple[str, str, dict[str, str]]] = [
            ("PUT", f"{url}/name", {}),
            ("POST", url, DRAFT),
            ("POST", url, tus.TUS | tus.OCTETS | {"Upload-Length": str(len(DATA)), "Idempotency-Key": '"a"'}),
        ]
        monkeypatch.setattr(failpoints, "armed", reached.append)
        for method, where, headers in ways:
            reached.clear()
            async with http.request(method, where, headers=headers, data=DATA) as answer:
                assert answer.status in {200, 201}, await answer.text()
            assert reached[-len(AT_ONCE) :] == AT_ONCE, (method, headers)
            assert reached.count("recorded") == 1
    assert {path.read_bytes() for path in (tmp_path / "data" / "files").iterdir()} == {DATA}


async def test_a_wrong_checksum_stores_nothing(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with embedded(tmp_path / "data", state="sqlite:") as url:
        location = await tus.create(http, url, len(DATA))
        wrong = {"Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="}
        assert (await tus.patch(http, location, 0, DATA, **wrong)).status == 460
        assert await tus.offset(http, location) == 0
        assert not list((tmp_path / "data" / "files").iterdir())
        assert (await tus.patch(http, location, 0, DATA)).status == 204
        assert (await tus.head(http, location)).headers["Upload-Offset"] == str(len(DATA))


@pytest.mark.parametrize("kind", ["promise", "part", "deferred", "beginning", "longer"])
async def test_what_is_not_the_simple_case_goes_the_usual_way(
    http: aiohttp.ClientSession, tmp_path: Path, kind: str
) -> None:
    """A wrong promise, a part, a length that comes with the body, not all bytes, too many bytes."""
    headers: dict[str, dict[str, str]] = {
        "promise": {"Repr-Digest": f"sha-256=:{'A' * 43}=:"},
        "part": {"Upload-Concat": "partial"},
    }
    said: dict[str, dict[str, Any]] = {"deferred": {"Upload_Length": str(len(DATA))}}
    status = {"promise": 460, "longer": 413}.get(kind, 204)
    async with embedded(tmp_path / "data", state="sqlite:", quiet_after=60) as url:
        length = {"deferred": None, "beginning": len(DATA) + 1, "longer": len(DATA) - 1}.get(kind, len(DATA))
        location = await tus.create(http, url, length, **headers.get(kind, {}))
        assert (await tus.patch(http, location, 0, DATA, **said.get(kind, {}))).status == status
        published = list((tmp_path / "data" / "files").iterdir())
        assert len(published) == (kind == "deferred")


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.EIO, errno.ENOSPC])
async def test_a_file_that_cannot_be_renamed_goes_the_usual_way(
    http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real, faults = os.rename, [number]

    def fail(source: Path, *words: Any) -> None:
        if Path(source).parent.name == "partial" and (number == errno.EXDEV or faults):
            raise OSError(faults.pop() if faults else number, "no")
        real(source, *words)

    monkeypatch.setattr(os, "rename", fail)
    async with embedded(tmp_path / "data", state="sqlite:") as url:
        for _ in range(2):
            location = await tus.create(http, url, len(DATA))
            assert (await tus.patch(http, location, 0, DATA)).status == 204
            assert (tmp_path / "data" / "files" / location.rpartition("/")[2]).read_bytes() == DATA
        assert len(names(tmp_path / "data")) == 2


async def test_the_event_is_saved_with_the_record_and_watchers_are_told(engine: Engine, storage: Storage) -> None:
    upload = await engine.create(ASKED)
    async with storage.state.subscribe(upload.id) as messages:
        completed = await engine.append(upload.id, ALL, brought(DATA))
        told = (await asyncio.wait_for(anext(messages), 1)).json
    assert '"completed"' in told
    assert completed.sha256 == hashlib.sha256(DATA).digest()
    assert await storage.state.load(upload.id, fresh=True) == completed
    waiting = [each async for each in storage.state.outbox.waiting()]
    assert [(event.id.rpartition("_")[2], event.seq) for event in waiting] == [
        ("created", upload.version),
        ("completed", completed.version),
    ]
    assert engine.received == len(DATA)


async def test_of_two_at_once_one_is_stored(engine: Engine, tmp_path: Path) -> None:
    upload = await engine.create(ASKED)
    ends = await asyncio.gather(
        *(engine.append(upload.id, ALL, brought(data)) for data in (DATA, OTHER)), return_exceptions=True
    )
    assert [isinstance(end, Upload) for end in ends] == [True, False]
    assert (tmp_path / "data" / "files" / upload.id).read_bytes() == DATA


@pytest.mark.parametrize("way", [brought, WholeBody])
@pytest.mark.parametrize("twice", [False, True], ids=["one name", "two names"])
async def test_after_a_crash_other_bytes_replace_a_file_that_no_record_has(
    engine: Engine, tmp_path: Path, way: Any, twice: bool
) -> None:
    """The client was told nothing, so it may send what it likes. No file is written to that has its published name."""
    upload, data = await interrupted(engine), tmp_path / "data"
    published = data / "files" / upload.id
    assert (upload.offset, names(data)) == (0, {f"files/{upload.id}"})
    if twice:  # a power cut in the middle of the rename
        os.link(published, data / "partial" / upload.id)
    with published.open("rb") as earlier:
        completed = await engine.append(upload.id, ALL, way(OTHER))
        if not (twice and way is WholeBody):  # the slow path goes on with that file, which has lost the name by then
            assert earlier.read() == DATA
    assert completed.status is Status.COMPLETED
    assert completed.sha256 == hashlib.sha256(OTHER).digest()
    assert names(data) == {f"files/{upload.id}"}
    assert published.read_bytes() == OTHER


async def test_after_a_crash_the_first_byte_of_the_usual_way_removes_what_no_record_has(
    engine: Engine, tmp_path: Path
) -> None:
    upload = await interrupted(engine)
    body = WholeBody(OTHER[:4])
    body.cut_by = Unavailable("The connection was lost.")
    with pytest.raises(Unavailable):
        await engine.append(upload.id, ALL, body)
    assert (await engine.inspect(upload.id)).offset == 4
    assert names(tmp_path / "data") == {f"partial/{upload.id}"}


async def test_after_a_crash_an_upload_can_be_ended_or_published_elsewhere(
    engine: Engine, storage: Storage, tmp_path: Path
) -> None:
    upload = await interrupted(engine)
    await engine.terminate(upload.id)
    assert not names(tmp_path / "data")
    upload = await interrupted(engine)
    laid = engine_on(storage, Publishing(layout=parse_layout("a/{id}")))
    assert (await laid.append(upload.id, ALL, brought(DATA))).path == f"a/{upload.id}"
    assert names(tmp_path / "data") == {"files/a"}


async def test_servers_that_share_a_state_go_the_usual_way_with_creations(storage: Storage, tmp_path: Path) -> None:
    with patch.object(type(storage.state), "is_own", False):
        whole = CreateRequest(length=len(DATA), metadata=None, promised=None, body_size=len(DATA), has_body=True)
        assert await engine_on(storage).short.store(whole, DATA, UploadId("0" * 32), Limits()) is None
    blobs, id_ = DiskBlobs(tmp_path / "shared", shared=True), UploadId("0" * 32)
    published = tmp_path / "shared" / "files" / id_
    published.write_bytes(DATA)  # by the next holder of a lease
    async with blobs.open(await blobs.create(id_), 0) as writer:
        writer.write(OTHER, 0)
    assert published.read_bytes() == DATA
    await blobs.close()
