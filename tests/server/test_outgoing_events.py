"""Which changes put events into the outbox: every creation and every end, whoever made it, and nothing else."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bodies import WholeBody

from onward.protocol.errors import Failed, Gone
from onward.protocol.events import EventType, Subscriptions
from onward.protocol.model import AppendRequest, Concat, CreateRequest, Limits, Role, UploadId
from onward.server.uploads.clock import Clock
from onward.server.uploads.engine import Engine
from onward.storage import open_storage

EVERY = Subscriptions({"a": frozenset(EventType)})
DATA = b"the whole file"


class Server:
    """An engine on its storage; time passes by hand."""

    def __init__(self) -> None:
        self.now, self.woken = 1000.0, 0

    async def open(self, data: Path) -> None:
        storage = await open_storage(state="sqlite:", blobs="file:", data=data, subscriptions=EVERY)
        self.state = storage.state
        clock = Clock(lambda: self.now, lambda: self.now)
        self.engine = Engine(storage, Limits(expire_after=60.0, forget_after=600.0), lease_wait=1, clock=clock)
        self.engine.records.on_events = self.wake

    def wake(self) -> None:
        self.woken += 1

    async def create(
        self, length: int | None = len(DATA), concat: Concat | None = None, sha256: bytes | None = None
    ) -> UploadId:
        request = CreateRequest(
            length=length, metadata=None, promised=sha256, body_size=0, has_body=False, concat=concat
        )
        return (await self.engine.create(request)).id

    async def append(self, id: UploadId) -> None:
        request = AppendRequest(offset=0, length=None, promised=None, body_size=len(DATA))
        await self.engine.append(id, request, WholeBody(DATA))

    async def told(self, id: UploadId) -> list[tuple[str, str, int]]:
        """Give the type, the status and the `seq` of each event that waits for an upload."""
        bodies = [json.loads(event.body) async for event in self.state.outbox.waiting() if event.upload == id]
        return [(body["type"], body["data"]["status"], body["data"]["seq"]) for body in bodies]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server()
    await server.open(tmp_path)
    yield server
    await server.engine.close()


async def test_a_completed_upload_was_created_and_completed(server: Server) -> None:
    id_ = await server.create()
    assert server.woken == 1
    await server.append(id_)
    record = await server.engine.records.load(id_)
    assert await server.told(id_) == [
        ("upload.created", "pending", 1),
        ("upload.completed", "completed", record.version),
    ]
    assert server.woken == 2


async def test_a_wrong_sha256_is_told_as_a_failure(server: Server) -> None:
    id_ = await server.create(sha256=b"\0" * 32)
    with pytest.raises(Failed):
        await server.append(id_)
    assert [kind for kind, *_ in await server.told(id_)] == ["upload.created", "upload.failed"]


async def test_an_end_by_the_client_or_by_time_is_told_once(server: Server) -> None:
    deleted, late = await server.create(), await server.create()
    await server.engine.terminate(deleted)
    with pytest.raises(Gone):
        await server.engine.terminate(deleted)
    server.now += 61
    for _ in range(3):
        await server.engine.sweep.all()
        server.now += 10
    assert [kind for kind, *_ in await server.told(deleted)] == ["upload.created", "upload.terminated"]
    assert [kind for kind, *_ in await server.told(late)] == ["upload.created", "upload.expired"]
    server.now += 1000
    await server.engine.sweep.all()
    assert [kind for kind, *_ in await server.told(late)] == ["upload.created", "upload.expired"], "though forgotten"


async def test_a_complete_part_is_not_told_and_the_joined_upload_is(server: Server) -> None:
    part = await server.create(concat=Concat(role=Role.PARTIAL, told="partial"))
    await server.append(part)
    final = await server.create(length=None, concat=Concat(role=Role.FINAL, told="final", parts=(part, part)))
    await server.engine.sweep.all()
    assert [kind for kind, *_ in await server.told(part)] == ["upload.created"]
    server.now += 3
    await server.engine.sweep.all()
    assert [kind for kind, *_ in await server.told(final)] == ["upload.created", "upload.completed"]
