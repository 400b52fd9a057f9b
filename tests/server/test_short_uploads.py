"""Short uploads that one request brings whole: one step on the disk, one record, and the slow path where that fails."""
# ruff: noqa: ASYNC110 - what a thread does can only be polled

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator
from math import inf
from pathlib import Path
from unittest.mock import patch

import aiohttp
import pytest
import tus_requests as tus
from embedded_server import embedded

from onward.protocol.events import EventType, Subscriptions
from onward.protocol.model import CreateRequest, Limits, Status, UploadId
from onward.server.uploads import sweep
from onward.server.uploads.create_once import create_once
from onward.server.uploads.engine import Engine
from onward.storage import failpoints, open_storage
from onward.storage.base import Crowded, Missing, Storage, StorageError
from onward.storage.blobs.disk import DiskBlobs

DATA = b"all of it"
ASKED = CreateRequest(length=len(DATA), metadata=None, promised=None, body_size=len(DATA), has_body=True)
ID = UploadId("0" * 32)
BOTH = Subscriptions({"me": frozenset(EventType)})


def names(data: Path) -> set[str]:
    return {f"{folder}/{path.name}" for folder in ("partial", "files") for path in (data / folder).iterdir()}


async def until_unmarked(data: Path) -> None:
    async with asyncio.timeout(5):
        while list((data / "partial").iterdir()):
            await asyncio.sleep(0.02)


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    """A SQLite file and a folder."""
    opened = await open_storage(state="sqlite:", blobs="file:", data=tmp_path / "data", subscriptions=BOTH)
    yield opened
    await opened.close()


@pytest.fixture
def engine(storage: Storage) -> Engine:
    """An engine on that."""
    return Engine(storage, Limits(), lease_wait=1)


async def post(http: aiohttp.ClientSession, url: str, **headers: str) -> aiohttp.ClientResponse:
    sent = tus.TUS | tus.OCTETS | {"Upload-Length": str(len(DATA))} | headers
    async with http.post(url, headers=sent, data=DATA) as answer:
        await answer.read()
        return answer


async def test_a_short_upload_is_published_with_one_record(
    http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, reached = tmp_path / "data", list[str]()
    async with embedded(data, state="sqlite:") as url:
        monkeypatch.setattr(failpoints, "armed", reached.append)
        answer = await post(http, url)
        assert (answer.status, answer.headers["Upload-Offset"]) == (201, str(len(DATA)))
        assert [point for point in reached if point != "bound"] == [
            "judged", "written", "synced", "sealing", "renamed", "sealed", "recorded", "answering",
        ]  # fmt: skip
        path = data / "files" / answer.headers["Location"].rpartition("/")[2]
        assert path.read_bytes() == DATA
        assert path.stat().st_mode & 0o777 == 0o440
        head = await tus.head(http, answer.headers["Location"])
        assert head.headers["Upload-Offset"] == str(len(DATA))
        assert head.headers["Repr-Digest"] == answer.headers["Repr-Digest"]
        await until_unmarked(data)
        assert path.stat().st_nlink == 1


@pytest.mark.parametrize(
    "wrong", [{"Repr-Digest": f"sha-256=:{'A' * 43}=:"}, {"Upload-Checksum": "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="}]
)
async def test_wrong_bytes_are_refused_as_ever(
    http: aiohttp.ClientSession, tmp_path: Path, wrong: dict[str, str]
) -> None:
    async with embedded(tmp_path / "data", state="sqlite:") as url:
        answer = await post(http, url, **wrong)
        assert answer.status == 460
        assert answer.headers["Location"]
        assert not list((tmp_path / "data" / "files").iterdir())


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.EIO, errno.ENOSPC])
async def test_what_cannot_be_done_in_one_step_goes_the_usual_way(
    http: aiohttp.ClientSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", fail)
    async with embedded(tmp_path / "data", state="sqlite:") as url:
        for _ in range(2):
            answer = await post(http, url)
            assert (answer.status, answer.headers["Upload-Offset"]) == (201, str(len(DATA)))
            path = tmp_path / "data" / "files" / answer.headers["Location"].rpartition("/")[2]
            assert path.read_bytes() == DATA
        assert len(names(tmp_path / "data")) == 2


async def test_both_events_are_saved_with_the_record(engine: Engine, storage: Storage) -> None:
    created = await create_once(engine, ASKED, whole=DATA)
    assert not created.new
    assert created.upload.sha256 == hashlib.sha256(DATA).digest()
    assert await storage.state.load(created.upload.id, fresh=True) == created.upload
    waiting = [each async for each in storage.state.outbox.waiting()]
    assert [(event.id.rpartition("_")[2], event.seq) for event in waiting] == [("created", 1), ("completed", 2)]


async def test_a_file_whose_record_is_on_its_way_is_not_cleaned_up(engine: Engine, tmp_path: Path) -> None:
    insert = engine.records.insert_completed

    async def slow(*words: object) -> None:
        assert len(names(tmp_path / "data")) == 2
        with patch.object(sweep, "STRAY", -60.0):
            assert await engine.sweep.tidy() == 0
        await insert(*words)  # type: ignore[arg-type]

    with patch.object(engine.records, "insert_completed", slow):
        upload = (await create_once(engine, ASKED, whole=DATA)).upload
    assert upload.status is Status.COMPLETED
    assert (tmp_path / "data" / upload.place).read_bytes() == DATA


@pytest.mark.parametrize("fault", [Crowded(), StorageError("nobody knows")])
async def test_a_file_that_gets_no_record_is_cleaned_up(engine: Engine, tmp_path: Path, fault: StorageError) -> None:
    async def refuse(*_: object) -> None:
        raise fault

    with patch.object(engine.records, "insert_completed", refuse):
        if isinstance(fault, Crowded):
            assert await engine.short.store(ASKED, DATA, ID, Limits()) is None
        else:
            with pytest.raises(StorageError):
                await engine.short.store(ASKED, DATA, ID, Limits())
            assert names(tmp_path / "data") == {f"partial/{ID}", f"files/{ID}"}
            with patch.object(sweep, "STRAY", -60.0):
                assert await engine.sweep.tidy() == 1
    assert not names(tmp_path / "data")


async def test_the_mark_of_a_recorded_file_goes_and_the_file_stays(engine: Engine, tmp_path: Path) -> None:
    upload = (await create_once(engine, ASKED, whole=DATA)).upload
    with patch.object(sweep, "STRAY", -60.0):
        assert await engine.sweep.tidy() == 1
        assert await engine.sweep.tidy() == 0
    assert names(tmp_path / "data") == {f"files/{upload.id}"}


async def test_a_mark_stays_to_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs, removed = DiskBlobs(tmp_path), list[set[str]]()
    place = await blobs.short.publish(ID, DATA, lambda _: None)
    assert place == f"files/{ID}"
    assert [stray async for stray in blobs.strays(inf)] == [(f"partial/{ID}", ID)]
    monkeypatch.setattr(
        failpoints, "armed", lambda point: removed.append(names(tmp_path)) if point == "removed" else None
    )
    await blobs.remove(place)
    assert removed == [{f"partial/{ID}"}, set()]
    with pytest.raises(Missing):
        await blobs.sync(place)
    await blobs.close()
