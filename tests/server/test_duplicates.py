"""`--duplicates share`: who is told of which earlier upload, and what a fault in it costs. Only ever the sharing."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from bodies import WholeBody
from msgspec.structs import replace
from server_process import Server, Start, serving
from shown_upload import shown_upload

from onward.protocol.errors import Locked
from onward.protocol.events import EventType, build_body
from onward.protocol.listing import listed
from onward.protocol.model import AppendRequest, Concat, CreateRequest, Limits, Place, Role, Status, Upload, UploadId
from onward.protocol.progress import progress
from onward.server.uploads.duplicates import hint_of
from onward.server.uploads.engine import Engine
from onward.server.uploads.publishing import Publishing
from onward.storage import open_storage
from onward.storage.base import Missing, Storage, StorageError, Unreachable

DATA = b"the same bytes" * 1000


@pytest.fixture(params=["memory:", "file:"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return await open_storage(state="memory:", blobs=request.param, data=tmp_path)


@pytest.fixture
async def engine(storage: Storage) -> AsyncIterator[Engine]:
    engine = Engine(storage, Limits(), lease_wait=1, publishing=Publishing(shares=True))
    yield engine
    await engine.close()


async def stored(engine: Engine, data: bytes = DATA, owner: str | None = None, concat: Concat | None = None) -> Upload:
    creation = CreateRequest(
        length=len(data), metadata=None, promised=None, body_size=len(data), has_body=True, owner=owner, concat=concat
    )
    created = await engine.create(creation)
    request = AppendRequest(offset=0, length=None, promised=None, body_size=len(data))
    upload = await engine.append(created.id, request, WholeBody(data))
    assert upload.status is Status.COMPLETED
    assert b"".join([block async for block in engine.read(upload, 0, len(data))]) == data
    return upload


async def test_each_equal_file_names_the_one_before(engine: Engine) -> None:
    first = await stored(engine)
    other = await stored(engine, b"other bytes")
    second, third = await stored(engine), await stored(engine)
    told = [each.duplicate_of for each in (first, other, second, third)]
    assert told == [None, None, first.id, second.id]
    assert (await engine.inspect(third.id)).duplicate_of == second.id
    assert json.loads(build_body(third, EventType.COMPLETED))["data"]["duplicateOf"] == second.id


async def test_owners_do_not_learn_of_each_other(engine: Engine) -> None:
    owners = [None, "ann", "bob", ""]
    firsts = {owner: await stored(engine, owner=owner) for owner in owners}
    assert [each.duplicate_of for each in firsts.values()] == [None] * len(owners)
    for owner in owners:
        assert (await stored(engine, owner=owner)).duplicate_of == firsts[owner].id


async def test_a_hint_that_names_a_file_of_another_owner_is_not_believed(engine: Engine, storage: Storage) -> None:
    theirs = await stored(engine, owner="ann")
    await storage.state.hints.put(hint_of("bob", hashlib.sha256(DATA).digest()), theirs.id)
    assert (await stored(engine, owner="bob")).duplicate_of is None


async def test_a_hint_that_names_other_bytes_is_not_believed(engine: Engine, storage: Storage) -> None:
    other = await stored(engine, b"other bytes")
    key = hint_of(None, hashlib.sha256(DATA).digest())
    for wrong in (other.id, UploadId("f" * 32)):
        await storage.state.hints.put(key, wrong)
        assert (await stored(engine)).duplicate_of is None


async def test_what_was_removed_is_not_told_but_an_earlier_one_that_is_left(engine: Engine) -> None:
    first, second = await stored(engine), await stored(engine)
    await engine.terminate(second.id)
    third = await stored(engine)
    assert third.duplicate_of == first.id
    await engine.terminate(first.id)
    fourth = await stored(engine)
    assert fourth.duplicate_of == third.id, "the end of another one than the last changes nothing"
    for each in (third, fourth):
        await engine.terminate(each.id)
    assert (await stored(engine)).duplicate_of is None


async def test_no_hint_is_left_when_all_equal_files_are_removed(engine: Engine, storage: Storage) -> None:
    for each in [await stored(engine)]:
        await engine.terminate(each.id)
    assert await storage.state.hints.get(hint_of(None, hashlib.sha256(DATA).digest())) is None


async def test_a_part_is_no_duplicate_and_its_joined_file_is(engine: Engine) -> None:
    part = Concat(role=Role.PARTIAL, told="partial")
    parts = [await stored(engine, concat=part) for _ in range(2)]
    assert [each.duplicate_of for each in parts] == [None, None]
    whole = await stored(engine, DATA + DATA)
    joined = Concat(role=Role.FINAL, told="final", parts=tuple(each.id for each in parts))
    creation = CreateRequest(length=None, metadata=None, promised=None, body_size=None, has_body=False, concat=joined)
    final = await engine.fill(await engine.create(creation), creation, WholeBody(b""))
    assert (final.status, final.duplicate_of) == (Status.COMPLETED, whole.id)


async def test_a_file_that_is_gone_is_not_told_and_fails_nothing(engine: Engine, storage: Storage) -> None:
    first = await stored(engine)
    await storage.blobs.remove(first.place)
    assert (await stored(engine)).duplicate_of is None


@pytest.mark.parametrize("fault", [Missing("x"), Unreachable("x"), Locked("x")], ids=lambda fault: type(fault).__name__)
async def test_a_fault_of_sharing_fails_no_upload(
    fault: Exception, engine: Engine, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await stored(engine)

    async def share(_place: Place, _equal: Place, _length: int, _check: Callable[[], None]) -> bool:
        raise fault

    monkeypatch.setattr(storage.blobs, "share", share)
    assert (await stored(engine)).duplicate_of == (None if isinstance(fault, StorageError) else first.id)


@pytest.mark.parametrize("act", ["get", "put"])
async def test_a_fault_of_the_hints_fails_no_upload(
    act: str, engine: Engine, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await stored(engine)

    async def fail(*_: object) -> None:
        raise Unreachable("x")

    monkeypatch.setattr(storage.state.hints, act, fail)
    second = await stored(engine)
    assert second.duplicate_of == (None if act == "get" else first.id)
    await engine.terminate(second.id)


async def test_without_the_option_nothing_is_asked_and_nothing_told(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(storage, Limits(), lease_wait=1)
    for store, act in ((storage.blobs, "share"), (storage.state.hints, "get"), (storage.state.hints, "put")):
        monkeypatch.setattr(store, act, None)  # which nobody can call
    uploads = [await stored(engine) for _ in range(2)]
    assert [each.duplicate_of for each in uploads] == [None, None]
    await engine.terminate(uploads[0].id)
    await engine.close()


def told(server: Server, path: str, *options: str) -> Any:
    message = json.loads(server.tus.progress(path))
    assert message["status"] == "completed"
    assert message["duplicateOf"] is None, "an upload without an owner is told of another one"
    return shown_upload(server.data, id_of(path), *options)["duplicateOf"]


def test_progress_tells_it_to_an_owner_only() -> None:
    completed = Upload(
        id=UploadId("a" * 32), place=Place("files/a"), status=Status.COMPLETED, length=1, offset=1, metadata=None,
        promised=None, created=0.0, updated=0.0, duplicate_of=UploadId("b" * 32), owner="somebody",
    )  # fmt: skip
    assert json.loads(progress(completed).json)["duplicateOf"] == "b" * 32
    assert json.loads(progress(replace(completed, owner=None)).json)["duplicateOf"] is None
    assert listed(replace(completed, owner=None))["duplicateOf"] == "b" * 32


def id_of(path: str) -> str:
    return path.rpartition("/")[2]


def test_the_operator_is_told_also_after_a_restart(start: Start, tmp_path: Path) -> None:
    server = start("--duplicates=share")
    first = server.tus.stored(DATA)
    assert told(server, first) is None
    second = server.tus.stored(DATA)
    assert told(server, second) == id_of(first)
    server.process.kill()
    server.process.wait()
    with serving(server.data, ["--duplicates=share"], log=tmp_path / "again.log") as again:
        assert told(again, second) == id_of(first)
        assert told(again, again.tus.stored(DATA)) == id_of(second)


def test_by_default_nothing_is_told(start: Start) -> None:
    server = start()
    assert [told(server, server.tus.stored(DATA)) for _ in range(2)] == [None, None]


def test_two_nodes_over_redis_tell_of_each_others_files(tmp_path: Path, redis_url: str) -> None:
    options = ["--duplicates=share", f"--state={redis_url}"]
    with (
        serving(tmp_path / "data", options, log=tmp_path / "a.log") as a,
        serving(tmp_path / "data", options, log=tmp_path / "b.log") as b,
    ):
        first = a.tus.stored(DATA)
        second = b.tus.stored(DATA)
        assert told(a, second, f"--state={redis_url}") == id_of(first)
