"""Single faults at the worst moment: a sync that fails once, a lease that is released when another holds it."""

import errno
import os
from pathlib import Path

import pytest
import redis
from bodies import Poured
from redis_process import RedisProcess
from test_state_contract import ID, UPLOAD, ignore

from onward.protocol.errors import Refusal
from onward.protocol.model import AppendRequest, CreateRequest, Limits, Status
from onward.server.uploads.engine import Engine
from onward.storage import open_storage
from onward.storage.base import Unreachable
from onward.storage.state.redis.keys import keys_of
from onward.storage.state.redis.state import open_state

DATA = b"0123456789"


class Arriving(Poured):
    """A body that arrives at once."""

    over = False
    cut_by: Refusal | None = None

    async def block(self, size: int, until: float) -> bytes:
        self.over = True
        return DATA

    def cut(self, why: Refusal) -> None:
        """Too late."""


async def test_a_failed_sync_is_never_tried_again_and_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = await open_storage(state="sqlite:", blobs="file:", data=tmp_path)
    engine = Engine(storage, Limits(), lease_wait=1)
    creation = CreateRequest(length=len(DATA), metadata=None, promised=None, body_size=0, has_body=False)
    upload = await engine.create(creation)
    request = AppendRequest(offset=0, length=None, promised=None, body_size=len(DATA))
    real, calls = os.fdatasync, 0

    def fail_once(fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:  # from now on the pages count as clean: the next sync succeeds, and means nothing
            raise OSError(errno.EIO, "the disk is broken")
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fail_once)
    with pytest.raises(Unreachable):
        await engine.append(upload.id, request, Arriving())
    assert (await engine.inspect(upload.id)).offset == 0
    assert (await engine.append(upload.id, request, Arriving())).status is Status.COMPLETED
    assert (tmp_path / "files" / upload.id).read_bytes() == DATA
    await engine.close()


async def test_a_late_release_leaves_the_lease_of_another_alone(redis_process: RedisProcess, redis_url: str) -> None:
    late, other = await open_state(redis_url, Path()), await open_state(redis_url, Path())
    await late.insert(UPLOAD)
    async with other.hold(ID, wait=0, on_rival=ignore):
        pass  # so that nothing is opened at the wrong moment
    holding = late.hold(ID, wait=0, on_rival=ignore)
    await holding.__aenter__()
    with redis.Redis(port=redis_process.port) as client:
        client.delete(keys_of(ID).lease)  # it ran out
        async with other.hold(ID, wait=0, on_rival=ignore):
            await holding.__aexit__(None, None, None)
            assert client.exists(keys_of(ID).lease), "the lease of another was released"
    await late.close()
    await other.close()
