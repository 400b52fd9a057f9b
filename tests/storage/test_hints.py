"""What the hints of every state promise: the last one counts, and one that is removed is gone."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from test_state_contract import url_of

from onward.protocol.model import UploadId
from onward.storage import open_storage
from onward.storage.base import State

A, B = UploadId("a" * 32), UploadId("b" * 32)


@pytest.fixture(params=["memory", "sqlite", "redis", "cluster"])
async def state(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[State]:
    storage = await open_storage(state=url_of(request.param, request), blobs="memory:", data=tmp_path)
    yield storage.state
    await storage.close()


async def test_the_last_hint_under_a_key_counts_until_it_is_removed(state: State) -> None:
    hints, key = state.hints, secrets.token_hex(32)
    assert await hints.get(key) is None
    await hints.put(key, None)
    await hints.put(key, A)
    await hints.put(key, B)
    assert await hints.get(key) == B
    await hints.put(key, None)
    assert await hints.get(key) is None


async def test_keys_do_not_disturb_each_other(state: State) -> None:
    keys = [secrets.token_hex(32) for _ in range(100)]
    await asyncio.gather(*(state.hints.put(key, UploadId(key[:32])) for key in keys))
    await state.hints.put(keys[0], None)
    assert [await state.hints.get(key) for key in keys] == [None, *(key[:32] for key in keys[1:])]


async def test_hints_survive_a_restart(tmp_path: Path, redis_url: str) -> None:
    for url in ("sqlite:", redis_url):
        storage = await open_storage(state=url, blobs="file:", data=tmp_path / url[:5])
        await storage.state.hints.put("key", A)
        await storage.close()
        storage = await open_storage(state=url, blobs="file:", data=tmp_path / url[:5])
        assert await storage.state.hints.get("key") == A
        await storage.close()
