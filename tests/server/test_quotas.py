"""Quotas and the limits of tokens, over HTTP: what is refused and how, and what is given back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from aiohttp import web
from owners_server import allow

from onward import Config, create_app, create_runner
from onward.server.http.app_keys import ENGINE
from onward.server.uploads.engine import Engine
from onward.storage.base import Stride, Usage

pytestmark = pytest.mark.slow
ANN = {"X-Owner": "ann"}
QUOTA = 1000


class Counted:
    """A server with quotas, and what it has reserved."""

    def __init__(self, files: str, engine: Engine) -> None:
        self.files, self.engine = files, engine

    async def usage(self, owner: str = "ann") -> Usage:
        """Give what is reserved for an owner."""
        return await self.engine.records.storage.state.quotas.usage(owner)

    async def until_used(self, usage: Usage) -> None:
        """Wait until so much is reserved."""
        async with asyncio.timeout(10):
            while await self.usage() != usage:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@asynccontextmanager
async def counting(data: Path, **options: Any) -> AsyncIterator[Counted]:
    """Run a server, which counts."""
    config = Config(data=str(data), **({"sweep_every": 0.1, "quiet_after": 0.1} | options))
    app = create_app(config, access=allow)
    runner = create_runner(app, config)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Counted(f"http://127.0.0.1:{runner.addresses[0][1]}/files", app[ENGINE])
    finally:
        await runner.cleanup()


@pytest.fixture
async def server(tmp_path: Path, state_url: str) -> AsyncIterator[Counted]:
    async with counting(tmp_path / "data", state=state_url, quota=QUOTA) as running:
        yield running


@pytest.fixture
async def ann() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers=ANN) as session:
        yield session


async def refusal(http: aiohttp.ClientSession, server: Counted, length: int, **headers: str) -> dict[str, Any]:
    """Give the problem document of a creation that is refused."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with http.post(server.files, headers=tus.TUS | {"Upload-Length": str(length)} | named) as answer:
        assert answer.status == 413
        assert "Location" not in answer.headers
        problem: dict[str, Any] = await answer.json()
        assert problem["code"] == "quota-exceeded"
        return problem


async def test_a_creation_beyond_the_quota_is_refused_until_something_is_removed(
    server: Counted, ann: aiohttp.ClientSession
) -> None:
    url = await tus.create(ann, server.files, 600)
    problem = await refusal(ann, server, 401)
    assert "1000 bytes" in problem["detail"]
    await tus.create(ann, server.files, 400)
    async with aiohttp.ClientSession(headers={"X-Owner": "bob"}) as bob:
        await tus.create(bob, server.files, 1000)
    async with aiohttp.ClientSession() as nobody:  # without an owner there is no quota
        await tus.create(nobody, server.files, 5000)
    assert await server.usage() == Usage(1000, 2)
    async with ann.delete(url, headers=tus.TUS) as answer:
        assert answer.status == 204
    assert await server.usage() == Usage(400, 1)
    await tus.create(ann, server.files, 600)


async def test_the_quota_of_a_grant_wins(server: Counted, ann: aiohttp.ClientSession) -> None:
    await tus.create(ann, server.files, 3000, **{"X-Quota": "4000"})
    await refusal(ann, server, 1)
    await tus.create(ann, server.files, 1000, **{"X-Quota": "4000"})
    async with aiohttp.ClientSession(headers={"X-Owner": "bob", "X-Quota": "10"}) as bob:
        await refusal(bob, server, 11)


async def test_a_token_creates_as_many_uploads_as_it_allows_at_a_time(
    server: Counted, ann: aiohttp.ClientSession
) -> None:
    link = {"X-Token": "link", "X-Max-Uploads": "2"}
    first = await tus.create(ann, server.files, 4, **link)
    assert (await tus.patch(ann, first, 0, b"done")).status == 204
    await tus.create(ann, server.files, 0, **link)
    assert "token" in (await refusal(ann, server, 0, **link))["detail"]
    await tus.create(ann, server.files, 0, **(link | {"X-Token": "other"}))
    async with ann.delete(first, headers=tus.TUS) as answer:
        assert answer.status == 204
    await tus.create(ann, server.files, 0, **link)
    await refusal(ann, server, 0, **link)


async def test_what_fails_or_expires_is_given_back(tmp_path: Path, state_url: str, ann: aiohttp.ClientSession) -> None:
    async with counting(tmp_path / "data", state=state_url, quota=QUOTA, expire_after=0.5) as server:
        wrong = {"Repr-Digest": f"sha-256=:{'A' * 43}=:"}
        failed = await tus.create(ann, server.files, 4, **wrong)
        assert (await tus.patch(ann, failed, 0, b"nope")).status == 460
        assert await server.usage() == Usage(0, 0)
        await tus.create(ann, server.files, QUOTA)
        await refusal(ann, server, 1)
        await server.until_used(Usage(0, 0))
        await tus.create(ann, server.files, QUOTA)


async def refused_body(
    http: aiohttp.ClientSession, url: str, body: bytes | AsyncIterator[bytes], **headers: str
) -> None:
    """Send a body at the beginning, and check its refusal."""
    async with http.patch(url, data=body, headers=tus.TUS | tus.OCTETS | {"Upload-Offset": "0"} | headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (413, "quota-exceeded")


async def pieces(*blocks: bytes) -> AsyncIterator[bytes]:
    """Send blocks with a pause between them, so that each is in a stride of its own."""
    for block in blocks:
        yield block
        await asyncio.sleep(0.4)


async def test_a_body_of_unknown_size_ends_at_the_quota_and_keeps_what_fitted(
    server: Counted, ann: aiohttp.ClientSession
) -> None:
    other = await tus.create(ann, server.files, 500)
    url = await tus.create(ann, server.files, None)
    await refused_body(ann, url, pieces(b"a" * 200, b"b" * 200, b"c" * 200))
    stored = await tus.offset(ann, url)
    assert stored == 400
    assert await server.usage() == Usage(900, 2)
    assert (await tus.patch(ann, url, stored, pieces(b"x" * 101))).status == 413
    assert (await tus.patch(ann, url, stored, b"x" * 101)).status == 413
    assert await tus.offset(ann, url) == stored
    async with ann.delete(other, headers=tus.TUS) as deleted:
        assert deleted.status == 204
    last = b"c" * 200
    assert (await tus.patch(ann, url, stored, last, Upload_Length="600")).status == 204
    async with ann.get(url) as download:
        assert sha256(await download.read()).digest() == sha256(b"a" * 200 + b"b" * 200 + last).digest()
    assert await server.usage() == Usage(600, 1)


async def test_a_body_that_ends_early_gives_back_what_it_did_not_use(
    server: Counted, ann: aiohttp.ClientSession
) -> None:
    url = await tus.create(ann, server.files, None)
    assert (await tus.patch(ann, url, 0, pieces(b"a" * 10))).status == 204
    assert await server.usage() == Usage(10, 1)
    await tus.create(ann, server.files, 990)


async def test_a_length_that_is_declared_later_has_to_fit(server: Counted, ann: aiohttp.ClientSession) -> None:
    url = await tus.create(ann, server.files, None)
    other = await tus.create(ann, server.files, 300)
    await refused_body(ann, url, b"x" * 10, **{"Upload-Length": "701"})
    assert (await tus.head(ann, url)).headers["Upload-Defer-Length"] == "1"
    assert await server.usage() == Usage(300, 2)
    async with ann.delete(other, headers=tus.TUS) as deleted:
        assert deleted.status == 204
    assert (await tus.patch(ann, url, 0, b"x" * 10, Upload_Length="701")).status == 204
    assert await server.usage() == Usage(701, 1)


async def test_a_final_upload_counts_beside_its_parts_until_they_are_removed(
    tmp_path: Path, state_url: str, ann: aiohttp.ClientSession
) -> None:
    async with counting(tmp_path / "data", state=state_url, quota=QUOTA, release_after=0.3) as server:
        parts = [await tus.part(ann, server.files, b"p" * 200) for _ in range(2)]
        assert await server.usage() == Usage(400, 2)
        assert (await tus.final(ann, server.files, parts)).status == 201
        assert await server.usage() == Usage(800, 3)
        await server.until_used(Usage(400, 1))


async def test_a_final_upload_whose_parts_outgrow_the_quota_fails_for_that_reason(
    server: Counted, ann: aiohttp.ClientSession
) -> None:
    known = await tus.part(ann, server.files, b"p" * 300)
    unknown = await tus.create(ann, server.files, None, **{"Upload-Concat": "partial"})
    final = await tus.final(ann, server.files, [known, unknown])
    assert final.status == 201
    assert (await tus.patch(ann, unknown, 0, b"q" * 300, Upload_Length="300")).status == 204
    async with asyncio.timeout(10), ann.get(f"{final.headers['Location']}/progress") as told:
        document = await told.json()
        while document["status"] != "failed":
            await asyncio.sleep(0.05)
            async with ann.get(f"{final.headers['Location']}/progress") as later:
                document = await later.json()
        assert document["error"]["code"] == "quota-exceeded"
    assert await server.usage() == Usage(600, 2)


async def test_many_bodies_of_unknown_size_never_have_more_than_the_quota_together(
    tmp_path: Path, state_url: str, ann: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onward.storage.blobs.disk.DiskBlobs.stride", Stride(2**14, 0.05), raising=False)
    monkeypatch.setattr("onward.server.uploads.quotas.BLOCK", 2**14)
    quota = 2**20
    async with counting(tmp_path / "data", state=state_url, quota=quota) as server:
        urls = [await tus.create(ann, server.files, None) for _ in range(8)]

        async def body() -> AsyncIterator[bytes]:
            for _ in range(40):
                yield b"x" * 2**14
                await asyncio.sleep(0)

        answers = await asyncio.gather(*(tus.patch(ann, url, 0, body()) for url in urls))
        stored = sum([await tus.offset(ann, url) for url in urls])
        assert {answer.status for answer in answers} <= {204, 413}
        assert quota / 2 < stored <= quota
        assert await server.usage() == Usage(stored, 8)
