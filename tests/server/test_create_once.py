"""Creations with an Idempotency-Key: however often and wherever they are repeated, there is one upload."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from embedded_server import embedded
from onward_process import OnwardProcess, onward
from redis_process import RedisProcess

from onward.protocol.creation_keys import build_creation_key
from onward.protocol.errors import Locked
from onward.protocol.model import CreateRequest, Limits, Status
from onward.server.uploads.create_once import create_once
from onward.server.uploads.engine import Engine
from onward.storage import open_storage

NAMED = {"Upload-Length": "5", "Upload-Metadata": "filename YQ=="}
ASKED = CreateRequest(length=5, metadata=None, promised=None, body_size=0, has_body=False)
Answer = aiohttp.ClientResponse


async def post(
    http: aiohttp.ClientSession, files: str, key: str, body: bytes = b"", headers: Mapping[str, str] = NAMED
) -> Answer:
    """Create an upload with a key."""
    sent = tus.TUS | dict(headers) | {"Idempotency-Key": key} | (tus.OCTETS if body else {})
    async with http.post(files, headers=sent, data=body or None) as answer:
        await answer.read()
        return answer


async def count(http: aiohttp.ClientSession, answers: list[Answer]) -> int:
    """Count the uploads that answers speak of, each of which must exist."""
    places = {answer.headers["Location"].rpartition("/")[2] for answer in answers}
    for answer in answers[:1]:
        assert (await tus.head(http, answer.headers["Location"])).status == 200
    return len(places)


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[str]:
    """The uploads of a server."""
    async with embedded(tmp_path / "data", state="sqlite:") as url:
        yield url


async def test_a_repeated_creation_gives_the_same_upload_and_its_offset(
    http: aiohttp.ClientSession, files: str
) -> None:
    first = await post(http, files, "key")
    url = first.headers["Location"]
    assert (first.status, first.headers["Upload-Offset"]) == (201, "0")
    await tus.patch(http, url, 0, b"123")
    again = await post(http, files, '"key"', b"12345")
    assert (again.status, again.headers["Location"], again.headers["Upload-Offset"]) == (201, url, "3")
    assert (await tus.patch(http, url, 3, b"45")).status == 204
    done = await post(http, files, "key")
    digest = hashlib.sha256(b"12345").digest()
    assert (done.status, done.headers["Location"], done.headers["Upload-Offset"]) == (201, url, "5")
    assert digest.hex() == hashlib.sha256(await (await http.get(url)).read()).hexdigest()
    assert "Repr-Digest" in done.headers
    assert (await post(http, files, "another")).headers["Location"] != url


@pytest.mark.parametrize(
    "headers",
    [
        {"Upload-Length": "6"},
        {"Upload-Length": "5", "Upload-Metadata": "filename Yg=="},
        {"Upload-Length": "5"},
        {"Upload-Defer-Length": "1", "Upload-Metadata": "filename YQ=="},
        NAMED | {"Upload-Concat": "partial"},
        NAMED | {"Repr-Digest": f"sha-256=:{'A' * 43}=:"},
    ],
)
async def test_a_key_of_another_creation_is_refused(
    http: aiohttp.ClientSession, files: str, headers: dict[str, str]
) -> None:
    url = (await post(http, files, "key")).headers["Location"]
    refused = await post(http, files, "key", headers=headers)
    problem = await refused.json(content_type="application/problem+json")
    assert (refused.status, problem["code"]) == (422, "idempotency-key-reused")
    assert "Location" not in refused.headers
    assert (await post(http, files, "key")).headers["Location"] == url


async def test_a_malformed_key_is_refused_and_creates_nothing(http: aiohttp.ClientSession, files: str) -> None:
    for key in ("", '"', "a b", "k" * 256):
        assert (await post(http, files, key)).status == 400


async def test_what_is_refused_binds_no_key(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with embedded(tmp_path / "small", state="sqlite:", max_size=10) as files:
        assert (await post(http, files, "key", headers={"Upload-Length": "11"})).status == 413
        assert (await post(http, files, "key", headers={"Upload-Length": "10"})).status == 201


async def test_a_body_that_still_arrives_is_not_disturbed(http: aiohttp.ClientSession, files: str) -> None:
    created, goes_on = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        created.set()  # the server has asked for the body
        yield b"12"
        await goes_on.wait()
        yield b"345"

    sent = tus.TUS | tus.OCTETS | NAMED | {"Idempotency-Key": "key"}
    first = asyncio.ensure_future(http.post(files, headers=sent, data=body(), expect100=True))
    await created.wait()
    for _ in range(200):
        again = await post(http, files, "key", b"12345")
        assert again.status == 201
        if again.headers["Upload-Offset"] == "2":
            break
        await asyncio.sleep(0.02)
    assert again.headers["Upload-Offset"] == "2"
    goes_on.set()
    answer = await first
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, "5")
    assert answer.headers["Location"] == again.headers["Location"]
    assert await (await http.get(again.headers["Location"])).read() == b"12345"


async def test_an_upload_that_has_ended_without_a_file_gives_its_key_to_a_new_one(
    http: aiohttp.ClientSession, files: str
) -> None:
    terminated = (await post(http, files, "key")).headers["Location"]
    async with http.delete(terminated, headers=tus.TUS) as answer:
        assert answer.status == 204
    answers = await asyncio.gather(*(post(http, files, "key") for _ in range(10)))
    assert await count(http, answers) == 1
    failing = answers[0].headers["Location"]
    assert failing != terminated
    wrong = await tus.patch(http, failing, 0, b"12345", Repr_Digest=f"sha-256=:{'A' * 43}=:")
    assert wrong.status == 460
    other = await post(http, files, "key", headers={"Upload-Length": "7"})  # nothing is left of the first creation
    assert other.status == 201
    assert other.headers["Location"] not in (failing, terminated)


async def test_an_upload_that_expired_gives_its_key_to_a_new_one(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    async with embedded(tmp_path / "hasty", state="sqlite:", expire_after=0.2, forget_after=0.1) as files:
        places = set()
        for wait in (0.25, 0.8):  # expired, and forgotten
            places.add((await post(http, files, "key")).headers["Location"])
            await asyncio.sleep(wait)
        places.add((await post(http, files, "key")).headers["Location"])
        assert len(places) == 3


async def test_a_join_is_repeated_like_any_creation(http: aiohttp.ClientSession, files: str) -> None:
    urls = [await tus.part(http, files, data) for data in (b"12", b"345")]
    concat = {"Upload-Concat": f"final;{' '.join(urls)}"}
    answers = await asyncio.gather(*(post(http, files, "join", headers=concat) for _ in range(20)))
    joined = [answer for answer in answers if answer.status == 201]
    assert {answer.status for answer in answers} <= {201, 423}
    assert await count(http, joined) == 1
    assert (await post(http, files, "join", headers={"Upload-Concat": f"final;{' '.join(urls[::-1])}"})).status == 422
    again = await post(http, files, "join", headers=concat)
    assert (again.status, again.headers["Upload-Offset"]) == (201, "5")
    assert await (await http.get(again.headers["Location"])).read() == b"12345"


async def test_fifty_creations_at_once_make_one_upload(http: aiohttp.ClientSession, tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with onward(data, "sqlite:") as server:
        for body in (b"", b"12345"):
            key = f"key{len(body)}"
            answers = await asyncio.gather(*(post(http, server.url, key, body) for _ in range(50)))
            assert {answer.status for answer in answers} == {201}
            assert await count(http, answers) == 1
    async with onward(data, "sqlite:") as server:
        later = await post(http, server.url, "key0")
        assert later.headers["Location"].rpartition("/")[2] not in answers[0].headers["Location"]
        again = await post(http, server.url, "key5")
        assert again.headers["Location"].rpartition("/")[2] == answers[0].headers["Location"].rpartition("/")[2]
        assert await (await http.get(again.headers["Location"])).read() == b"12345"


async def test_fifty_creations_at_once_on_two_nodes_make_one_upload_which_an_empty_redis_still_knows(
    http: aiohttp.ClientSession, tmp_path: Path, redis_url: str, redis_process: RedisProcess
) -> None:
    data = tmp_path / "data"
    async with onward(data, redis_url) as one, onward(data, redis_url) as other:
        nodes: tuple[OnwardProcess, ...] = (one, other)
        for key, body in (("a", b""), ("b", b"12345"), ("c", b"")):
            answers = await asyncio.gather(*(post(http, nodes[n % 2].url, key, body) for n in range(50)))
            assert {answer.status for answer in answers} == {201}
            assert await count(http, answers) == 1
            redis_process.flush()
            later = [await post(http, node.url, key) for node in nodes]
            assert await count(http, answers[:1] + later) == 1
        assert len(list((data / "records").iterdir())) == 3


async def test_a_put_may_be_repeated_and_a_form_may_not(http: aiohttp.ClientSession, files: str) -> None:
    key = {"Idempotency-Key": "key"}
    places = set()
    for _ in range(2):
        async with http.put(f"{files}/a.txt", data=b"12345", headers=key) as answer:
            assert answer.status == 201, await answer.text()
            assert "Repr-Digest" in answer.headers
            places.add(answer.headers["Location"])
    assert len(places) == 1
    async with http.put(f"{files}/b.txt", data=b"12345", headers=key) as answer:
        assert answer.status == 422
    form = aiohttp.FormData()
    form.add_field("file", b"12345", filename="a.txt")
    async with http.post(files, data=form, headers=key) as answer:
        assert answer.status == 400


async def opened_engine(folder: Path, quiet_after: float) -> Engine:
    storage = await open_storage(state="memory:", blobs="memory:", data=folder)
    return Engine(storage, Limits(quiet_after=quiet_after), lease_wait=0.1)


async def test_who_can_not_resume_replaces_an_unfinished_upload_that_nobody_is_sending(tmp_path: Path) -> None:
    engine = await opened_engine(tmp_path, 0.05)
    asked = ASKED
    keyed = CreateRequest(
        length=5, metadata=None, promised=None, body_size=0, has_body=False,
        creation_key=build_creation_key("key", None, asked),
    )  # fmt: skip
    first = await create_once(engine, keyed, resumable=False)
    assert first.new
    with pytest.raises(Locked):
        await create_once(engine, keyed, resumable=False)
    await asyncio.sleep(0.06)
    async with engine.records.leased(first.upload.id, lambda: None):
        with pytest.raises(Locked):
            await create_once(engine, keyed, resumable=False)
    assert (await create_once(engine, keyed)).upload.id == first.upload.id
    second = await create_once(engine, keyed, resumable=False)
    assert second.new
    assert second.upload.id != first.upload.id
    assert (await engine.records.load(first.upload.id)).status is Status.TERMINATED
    await engine.close()
