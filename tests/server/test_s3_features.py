"""Every feature of a server whose bytes are in a bucket, on two real S3 servers.

Three servers have all options between them; each test takes the one that has its own.
"""

import asyncio
import base64
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import aiohttp
import pytest
import tus_requests
from clamd_process import EICAR, clamd_running
from form_bodies import field, file, form, headers
from http_connection import Headers, Tus, path_of, poll
from redis_process import RedisProcess
from s3_process import KEYS, S3Process
from server_process import Server, serving
from token_maker import signed
from webhook_receiver import SECRET, Receiver, receiver

pytest.importorskip("aiobotocore", reason="SKIPPED LOUDLY: pip install 'onward[s3]'")
pytestmark = pytest.mark.slow

MIB = 2**20
PART = 5 * MIB
DATA = os.urandom(2 * PART + 1234)
SMALL = b"a finished file" * 1000
KEY = bytes(range(32))
TUS: Headers = {"Tus-Resumable": "1.0.0"}
PREFIX = "up/files/"


def named(name: str) -> Headers:
    return {"Upload-Metadata": f"filename {base64.b64encode(name.encode()).decode()}"}


def token(**claims: Any) -> Headers:
    claims = {"sub": "ann", "exp": int(time.time()) + 3600} | claims
    return {"Authorization": f"Bearer {signed({'alg': 'HS256', 'typ': 'JWT'}, claims, KEY)}"}


ANN = token()


class Bucket:
    """A bucket of its own for a server."""

    def __init__(self, s3: S3Process) -> None:
        self.s3, self.name = s3, s3.new_bucket()
        self.options = [*s3.options(self.name), "--part-size=5MiB"]

    def files(self) -> dict[str, int]:
        """Give the paths of finished files, with their sizes."""
        keys = self.s3.keys(self.name)
        return {key.removeprefix(PREFIX): size for key, size in keys.items() if key.startswith(PREFIX)}

    def content(self, path: str) -> bytes:
        """Give the content of a finished file, read from S3."""
        body: bytes = self.s3.client().get_object(Bucket=self.name, Key=PREFIX + path)["Body"].read()
        return body

    def unfinished(self) -> set[str]:
        """Give the keys of all objects but the finished files."""
        known = (PREFIX, "up/records/", "up/store")
        return {key for key in self.s3.keys(self.name) if not key.startswith(known)}


class World:
    """The servers on one S3 server."""

    def __init__(self, s3: S3Process, folder: Path, stack: ExitStack, redis: RedisProcess) -> None:
        self.redis = redis
        self.plain, self.owned, self.brief = (Bucket(s3) for _ in range(3))
        clamd = stack.enter_context(clamd_running(folder / "clamd"))
        (folder / "owned").mkdir()
        (folder / "owned" / "auth.key").write_text(base64.urlsafe_b64encode(KEY).decode().rstrip("="))
        (folder / "owned" / "auth.key").chmod(0o600)
        self.open = stack.enter_context(
            serving(folder / "plain", [*self.plain.options, f"--state={redis.url}", "--download=redirect"])
        )
        own = ["--auth=key", "--quota=64MiB", "--layout={owner}/{name}", "--types=text/plain,application/octet-stream"]
        own += [f"--clamd={clamd.unix}", "--duplicates=share", "--public-url=https://cdn.example/{path}"]
        own += ["--release-after=1s", "--sweep-every=0.3s"]  # what has failed is removed then
        self.checked = stack.enter_context(serving(folder / "owned", [*self.owned.options, *own]))
        brief = ["--expire-after=1.5s", "--keep-completed=1.5s", "--sweep-every=0.2s", "--quiet-after=0.2s"]
        self.passing = stack.enter_context(serving(folder / "brief", [*self.brief.options, *brief]))


@pytest.fixture(scope="module", params=["versitygw", "seaweedfs"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_process: RedisProcess
) -> Iterator[World]:
    os.environ.update(KEYS)
    redis_process.flush()
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp(request.param)
        yield World(request.getfixturevalue(request.param), folder, stack, redis_process)
    redis_process.flush()


def told(tus: Tus, path: str, headers: Headers | None = None) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(tus.ask("GET", f"{path}/progress", headers or {}).body)
    return message


def sent(tus: Tus, data: bytes, headers: Headers) -> tuple[str, int]:
    """Create an upload and send all of it; gives its path and the status of the last answer."""
    path = tus.create(len(data), headers)
    allowed: Headers = {name: value for name, value in headers.items() if name == "Authorization"}
    return path, tus.patch(path, 0, data, allowed).status


def test_what_a_check_refuses_is_never_below_files(world: World) -> None:
    tus, bucket = world.checked.tus, world.owned
    before = bucket.files()
    for bad in (EICAR, bytes(2 * PART) + EICAR, SMALL + EICAR):
        path, status = sent(tus, bad, ANN | named("bad.txt"))
        assert (status, told(tus, path, ANN)["error"]["code"]) == (422, "infected")
        assert tus.head(path, ANN).status == 410
    picture = b"\x89PNG\r\n\x1a\n" + bytes(PART)
    path, status = sent(tus, picture, ANN | named("picture.txt"))
    assert (status, told(tus, path, ANN)["error"]["code"]) == (415, "type-not-allowed")
    assert bucket.files() == before
    poll(lambda: not bucket.unfinished())


def test_a_layout_gives_paths_and_equal_files_are_told_of(world: World) -> None:
    tus, bucket = world.checked.tus, world.owned
    uploads = [sent(tus, data, ANN | named("über uns.tar.gz")) for data in (DATA, DATA, SMALL)]
    assert [status for _, status in uploads] == [204] * 3
    messages = [told(tus, path, ANN) for path, _ in uploads]
    paths = [message["path"] for message in messages]
    ids = [message["uploadId"] for message in messages]
    assert paths[0] == "ann/über uns.tar.gz"
    assert paths[1:] == [f"ann/über uns-{id_[:8]}.tar.gz" for id_ in ids[1:]]
    assert [bucket.content(path) for path in paths] == [DATA, DATA, SMALL]
    assert [message["duplicateOf"] for message in messages] == [None, ids[0], None]
    assert messages[2]["url"] == "https://cdn.example/ann/%C3%BCber%20uns-" + f"{ids[2][:8]}.tar.gz"
    assert tus.ask("DELETE", uploads[0][0], TUS | ANN).status == 204
    assert tus.ask("GET", uploads[1][0], ANN | {"Range": "bytes=5-9"}).body == DATA[5:10]
    assert paths[0] not in bucket.files()


def test_a_quota_counts_what_is_in_the_bucket(world: World) -> None:
    tus = world.checked.tus
    bob = token(sub="bob", onward={"quota": len(DATA) + 10})
    path, status = sent(tus, DATA, bob | named("a"))
    assert status == 204
    refused = tus.post(bob | {"Upload-Length": "11"})
    assert (refused.status, json.loads(refused.body)["type"].rpartition(":")[2]) == (413, "quota-exceeded")
    assert tus.post(bob | {"Upload-Length": "10"}).status == 201
    assert tus.ask("DELETE", path, TUS | bob).status == 204
    assert tus.post(bob | {"Upload-Length": str(len(DATA))}).status == 201
    assert tus.post(token(scope="watch") | {"Upload-Length": "1"}).status == 403


def test_a_redirect_leads_to_the_file_with_its_name_and_ranges(world: World) -> None:
    tus = world.open.tus
    for data in (DATA, SMALL):
        path = tus.stored(data, named("a ü.bin"))
        answer = tus.ask("GET", path)
        assert answer.status == 302
        with urlopen(Request(answer["Location"], headers={"Range": "bytes=7-1006"})) as got:
            assert (got.status, got.read()) == (206, data[7:1007])
            assert "filename*=UTF-8''a%20%C3%BC.bin" in got.headers["Content-Disposition"]
        with urlopen(answer["Location"]) as got:
            assert got.read() == data
        id_ = path.rpartition("/")[2]
        head = world.plain.s3.client().head_object(Bucket=world.plain.name, Key=PREFIX + id_)
        assert head["Metadata"]["onward"] == id_
        assert "filename*=UTF-8''a%20%C3%BC.bin" in head["ContentDisposition"]


def test_an_object_says_its_name_its_type_and_its_sha256_where_they_are_known(world: World) -> None:
    def head(bucket: Bucket, path: str) -> dict[str, Any]:
        found: dict[str, Any] = bucket.s3.client().head_object(Bucket=bucket.name, Key=PREFIX + path)
        return found

    typed = f"{named('a.bin')['Upload-Metadata']}" + ",filetype " + base64.b64encode(b"Image/X-Any; q=1").decode()
    promise = typed + ",sha256 " + base64.b64encode(hashlib.sha256(DATA).hexdigest().encode()).decode()
    small, large = ({"sha256": hashlib.sha256(data).hexdigest()} for data in (SMALL, DATA))
    for data, metadata, wanted in ((SMALL, typed, small), (DATA, typed, {}), (DATA, promise, large)):
        id_ = world.open.tus.stored(data, {"Upload-Metadata": metadata}).rpartition("/")[2]
        found = head(world.plain, id_)
        assert found["Metadata"] == {"onward": id_} | wanted
        assert "a.bin" in found["ContentDisposition"]
        if data is DATA:  # begun before a byte was seen: the type is the one that the client says
            assert found["ContentType"] == "image/x-any"
    path, status = sent(world.checked.tus, DATA, ANN | named("told.bin"))  # copied once it was verified
    assert status == 204
    message = told(world.checked.tus, path, ANN)
    found = head(world.owned, message["path"])
    assert found["Metadata"] == {"onward": message["uploadId"], "sha256": message["sha256"]}
    assert "told.bin" in found["ContentDisposition"]
    long = world.open.tus.stored(SMALL, named("ü" * 900)).rpartition("/")[2]
    assert "ContentDisposition" not in head(world.plain, long)


def test_checksums_and_lengths_that_come_late(world: World) -> None:
    tus, path = world.open.tus, world.open.tus.create(None)
    wrong = base64.b64encode(hashlib.sha1(b"").digest()).decode()
    right = base64.b64encode(hashlib.sha1(DATA[:PART]).digest()).decode()
    assert tus.patch(path, 0, DATA[:PART], {"Upload-Checksum": f"sha1 {wrong}"}).status == 460
    assert tus.offset(path) == 0
    assert tus.patch(path, 0, DATA[:PART], {"Upload-Checksum": f"sha1 {right}"}).status == 204
    assert tus.patch(path, PART, DATA[PART : PART + 99]).status == 204
    assert tus.patch(path, PART + 99, DATA[PART + 99 :], {"Upload-Length": str(len(DATA))}).status == 204
    assert world.plain.content(path.rpartition("/")[2]) == DATA
    promise = base64.b64encode(hashlib.sha256(b"other").hexdigest().encode()).decode()
    path = tus.create(len(DATA), {"Upload-Metadata": f"sha256 {promise}"})
    assert tus.patch(path, 0, DATA).status == 460
    assert path.rpartition("/")[2] not in world.plain.files()
    assert tus.head(path).status == 410


def test_large_and_small_parts_become_one_file(world: World) -> None:
    tus = world.open.tus
    pieces = [DATA[:10], DATA[10 : PART + 10], DATA[PART + 10 : PART + 20], DATA[PART + 20 :]]
    parts = [tus.stored(each, {"Upload-Concat": "partial"}) for each in pieces]
    final = tus.post(named("joined") | {"Upload-Concat": f"final;{' '.join(parts)}"})
    assert final.status == 201
    id_ = final["Location"].rpartition("/")[2]
    assert world.plain.content(id_) == DATA
    assert told(tus, path_of(final["Location"]))["sha256"] == hashlib.sha256(DATA).hexdigest()


def test_puts_and_forms(world: World) -> None:
    tus = world.open.tus
    answer = tus.ask("PUT", "/files/a.bin", {"Content-Length": str(len(DATA))}, DATA)
    assert answer.status == 201
    assert world.plain.content(json.loads(answer.body)["uploadId"]) == DATA
    body = form(field("album", b"x"), file("1.txt", SMALL), file("2.bin", DATA))
    answer = tus.post(headers(len(body)), body, octets=False)
    assert answer.status == 201, answer.body
    uploads = json.loads(answer.body)["uploads"]
    assert [world.plain.content(each["uploadId"]) for each in uploads] == [SMALL, DATA]


def test_what_expires_leaves_nothing(world: World) -> None:
    tus, bucket = world.passing.tus, world.brief
    done, begun = tus.stored(DATA), tus.begun(DATA, PART + 5)
    gone = {"completed", "expired", "paused", "uploading"}
    assert {told(tus, path)["status"] for path in (done, begun)} <= gone
    poll(lambda: all(tus.ask("GET", f"{path}/progress").status == 404 or told(tus, path)["status"] == "expired"
                     for path in (done, begun)))  # fmt: skip
    assert [tus.head(path).status for path in (done, begun)] == [410, 410]
    poll(lambda: not bucket.files() and not bucket.unfinished() and not bucket.s3.multiparts(bucket.name))


def test_an_emptied_redis_is_filled_from_the_bucket(world: World) -> None:
    tus = world.open.tus
    done, begun, small = tus.stored(DATA), tus.begun(DATA, PART + 77), tus.begun(SMALL, 5)
    world.redis.flush()
    assert [tus.offset(path) for path in (begun, small, done)] == [PART + 77, 5, len(DATA)]
    assert tus.patch(begun, PART + 77, DATA[PART + 77 :]).status == 204
    world.redis.flush()
    assert tus.patch(small, 5, SMALL[5:]).status == 204
    world.redis.flush()
    for path, data in ((done, DATA), (begun, DATA), (small, SMALL)):
        assert urlopen(tus.ask("GET", path)["Location"]).read() == data


async def _slowly(data: bytes) -> Any:
    for at in range(0, len(data), step := len(data) // 20):
        yield data[at : at + step]
        await asyncio.sleep(0.1)


async def test_watchers_see_bytes_arrive_between_the_parts(world: World, http: aiohttp.ClientSession) -> None:
    url = await tus_requests.create(http, world.open.url, 2 * PART)
    begun = time.monotonic()
    sending = asyncio.create_task(tus_requests.patch(http, url, 0, _slowly(DATA[: 2 * PART])))
    times, arrived, stored = [0.0], [0], []
    async with http.ws_connect(f"{url}/progress") as ws:
        async for message in ws:
            now = message.json()
            assert now["receivedBytes"] >= max(now["uploadedBytes"], arrived[-1])
            stored.append(now["uploadedBytes"])
            if now["receivedBytes"] > arrived[-1]:
                times.append(time.monotonic() - begun)
                arrived.append(now["receivedBytes"])
    assert (await sending).status == 204
    assert set(stored) <= {0, PART, 2 * PART}
    assert len(arrived) >= 6, arrived
    assert sorted(late - early for early, late in pairwise(times))[len(times) // 2] < 0.6, times


async def _hooked(hook: Receiver, server: Server) -> None:
    done, gone = (server.tus.create(len(DATA), named("a.bin")) for _ in range(2))
    answer = await asyncio.to_thread(server.tus.patch, done, 0, DATA)
    assert answer.status == 204
    assert (await asyncio.to_thread(server.tus.ask, "DELETE", gone, TUS)).status == 204
    ids = [path.rpartition("/")[2] for path in (done, gone)]
    await hook.until(lambda: [hook.order(id_)[1:] for id_ in ids] == [["upload.completed"], ["upload.terminated"]])
    (event,) = [got.event["data"] for got in hook.taken if got.type == "upload.completed"]
    assert (event["path"], event["url"]) == (ids[0], f"https://cdn.example/{ids[0]}")
    assert event["sha256"] == hashlib.sha256(DATA).hexdigest()


async def test_an_application_is_told_where_the_file_is(world: World, tmp_path: Path) -> None:
    bucket = Bucket(world.plain.s3)
    async with receiver() as hook:
        options = [f"--webhook={hook.url}", f"--webhook-secret={SECRET}", "--public-url=https://cdn.example/{path}"]
        with serving(tmp_path / "hooked", [*bucket.options, *options]) as server:
            await _hooked(hook, server)
