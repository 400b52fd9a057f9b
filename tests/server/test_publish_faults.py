"""`--publish` when something goes wrong: a bucket that is down or lies, foreign objects, crashes, bytes that change."""

import asyncio
import os
import random
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from published_files import MIB, Outside, Successors, outside
from pytest_aiohttp.plugin import AiohttpServer
from s3_faults import S3Faults

import onward.server.uploads.publishing as publishing_module
import onward.server.uploads.sweep as sweep_module
from onward import Config, ConfigError
from onward.storage import failpoints
from onward.storage.blobs.published.s3 import S3Bucket

SMALL, LARGE = b"finished", random.Random(5).randbytes(11 * MIB + 3)
METADATA = {"Upload-Metadata": f"filename {b64encode(b'a.bin').decode()}"}
ON_ONE = pytest.mark.parametrize("faults", ["versitygw"], indirect=True)
SIZES = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
STAYING = {"403 AccessDenied": "not allowed", "404 NoSuchBucket": "bucket does not exist", "503": "SlowDown"}
pytestmark = pytest.mark.slow


@pytest.fixture(params=["versitygw", "seaweedfs"])
async def faults(request: pytest.FixtureRequest) -> AsyncIterator[S3Faults]:
    async with S3Faults(request.getfixturevalue(request.param)).running() as proxy:
        yield proxy


@pytest.fixture
def bucket(faults: S3Faults) -> Outside:
    return outside(faults.server, faults.port)


@pytest.fixture
def serve(tmp_path: Path, aiohttp_server: AiohttpServer, monkeypatch: pytest.MonkeyPatch) -> Successors:
    """Start servers on one data folder, one after the other; they have little patience."""
    monkeypatch.setattr("onward.storage.blobs.s3.client.PATIENCE", 0.5)
    monkeypatch.setattr("onward.storage.blobs.s3.client._repeated.__defaults__", (0.5,))
    monkeypatch.setattr("onward.storage.blobs.s3.client.ANSWER_WITHIN", 2.0)
    monkeypatch.setattr("onward.server.uploads.completion.SHORTEST_HOLD", 0.2)
    monkeypatch.setattr("onward.server.uploads.completion.BRIEFLY", 0.2)
    monkeypatch.setattr("onward.server.uploads.completion.ELSEWHERE", 0.4)
    monkeypatch.setattr(publishing_module, "PAUSE", 0.2)
    monkeypatch.setattr(sweep_module, "REST", 0.2)
    return Successors(tmp_path / "data", aiohttp_server)


async def completed(http: aiohttp.ClientSession, url: str, data: bytes) -> None:
    """Wait until an upload is completed, as a patient client does, and compare its bytes."""
    async with asyncio.timeout(20):
        while (answer := await tus.head(http, url)).status in (423, 503):
            assert "Retry-After" in answer.headers
            await asyncio.sleep(0.05)
    assert answer.status == 200
    assert int(answer.headers["Upload-Offset"]) == len(data)
    async with http.get(url) as got:
        assert got.status == 200
        assert await got.read() == data


async def until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


def once_at(monkeypatch: pytest.MonkeyPatch, point: str, do: Callable[[], None]) -> None:
    """Do something the first time that the work reaches a point."""
    left = [do]

    def armed(name: str) -> None:
        if name == point and left:
            left.pop()()

    monkeypatch.setattr(failpoints, "armed", armed)


def die() -> None:
    raise RuntimeError("it is told to")


@ON_ONE
@pytest.mark.parametrize("fault", STAYING)
async def test_a_bucket_that_is_away_loses_nothing(
    http: aiohttp.ClientSession, faults: S3Faults, bucket: Outside, serve: Successors, fault: str
) -> None:
    files = await serve(bucket)
    url = await tus.create(http, files, len(LARGE))
    faults.choose = lambda _operation: fault
    async with http.patch(url, data=BytesIO(LARGE), headers=tus.TUS | tus.OCTETS | {"Upload-Offset": "0"}) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert (await answer.json())["code"] == "unpublished"
    async with http.get(files.removesuffix("/files") + "/readyz") as told:
        assert told.status == 503
        assert STAYING[fault] in await told.text()
    assert (await tus.head(http, url)).status == 423
    assert [file.read_bytes() for file in serve.arrived()] == [LARGE]
    faults.choose = lambda _operation: ""
    await completed(http, url, LARGE)
    assert bucket.keys() == {url.rpartition("/")[2]}
    assert serve.arrived() == []


@SIZES
async def test_answers_that_are_lost_publish_once(
    http: aiohttp.ClientSession, faults: S3Faults, bucket: Outside, serve: Successors, data: bytes
) -> None:
    files = await serve(bucket, layout="{name}")
    url = await tus.create(http, files, len(data), **METADATA)
    dice = random.Random(3)
    faults.choose = lambda _operation: "lost" if dice.random() < 0.3 else ""
    answer = await tus.patch(http, url, 0, data)
    assert answer.status in (204, 503)
    faults.choose = lambda what: ""
    await completed(http, url, data)
    assert bucket.keys() == {"a.bin"}


@SIZES
async def test_a_crash_after_the_object_appeared_publishes_nothing_again(
    http: aiohttp.ClientSession,
    bucket: Outside,
    serve: Successors,
    monkeypatch: pytest.MonkeyPatch,
    data: bytes,
) -> None:
    files = await serve(bucket, layout="{name}")
    bucket.put("a.bin", b"of somebody else")
    url = await tus.create(http, files, len(data), **METADATA)
    once_at(monkeypatch, "put", die)
    assert (await tus.patch(http, url, 0, data)).status == 500
    bucket.remove("a.bin")
    files = await serve(bucket, layout="{name}")
    url = f"{files}/{url.rpartition('/')[2]}"
    await completed(http, url, data)
    assert bucket.keys() == {f"a-{url.rpartition('/')[2][:8]}.bin"}
    assert serve.arrived() == []


@SIZES
async def test_an_object_that_appears_meanwhile_is_not_overwritten(
    http: aiohttp.ClientSession, bucket: Outside, serve: Successors, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    files = await serve(bucket, layout="{name}")
    url = await tus.create(http, files, len(data), **METADATA)
    direct = Outside(bucket.server, bucket.bucket)
    once_at(monkeypatch, "publishing", lambda: direct.put("a.bin", b"of somebody else"))
    assert (await tus.patch(http, url, 0, data)).status == 204
    assert bucket.object("a.bin").data == b"of somebody else"
    assert bucket.object(f"a-{url.rpartition('/')[2][:8]}.bin").data == data


@ON_ONE
async def test_a_bucket_that_lies_is_not_believed(
    http: aiohttp.ClientSession, bucket: Outside, serve: Successors, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = await serve(bucket)
    url = await tus.create(http, files, len(SMALL))

    async def lie(*_: object) -> None:
        """Say that the object is there."""

    with monkeypatch.context() as lying:
        lying.setattr(S3Bucket, "put", lie)
        assert (await tus.patch(http, url, 0, SMALL)).status == 503
        assert [file.read_bytes() for file in serve.arrived()] == [SMALL]
        assert (await tus.head(http, url)).status == 423
    await completed(http, url, SMALL)
    assert serve.arrived() == []


@ON_ONE
@SIZES
async def test_bytes_that_change_after_they_were_verified_are_not_published(
    http: aiohttp.ClientSession,
    bucket: Outside,
    serve: Successors,
    monkeypatch: pytest.MonkeyPatch,
    data: bytes,
) -> None:
    files = await serve(bucket)
    url = await tus.create(http, files, len(data))

    def rot() -> None:
        (file,) = serve.arrived()
        found = file.stat()
        file.chmod(0o600)
        with file.open("r+b") as opened:
            opened.write(b"F")
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))

    once_at(monkeypatch, "placed", rot)
    assert (await tus.patch(http, url, 0, data)).status == 410
    assert bucket.keys() == set()


@ON_ONE
async def test_a_crash_before_the_local_file_is_removed_leaves_that_to_the_sweep(
    http: aiohttp.ClientSession, bucket: Outside, serve: Successors, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = await serve(bucket)
    url = await tus.create(http, files, len(SMALL))
    once_at(monkeypatch, "dropping", die)
    assert (await tus.patch(http, url, 0, SMALL)).status == 500
    assert len(serve.arrived()) == 1
    monkeypatch.setattr(sweep_module, "STRAY", -3600.0)
    files = await serve(bucket)
    url = f"{files}/{url.rpartition('/')[2]}"
    await until(lambda: not serve.arrived())
    await completed(http, url, SMALL)


@ON_ONE
async def test_parts_stay_local_and_what_is_made_of_them_expires_in_the_bucket(
    http: aiohttp.ClientSession, bucket: Outside, serve: Successors
) -> None:
    files = await serve(bucket, keep_completed=1.5)
    parts = [await tus.part(http, files, SMALL) for _ in range(2)]
    assert bucket.keys() == set()
    async with http.post(files, headers=tus.TUS | {"Upload-Concat": f"final;{' '.join(parts)}"}) as answer:
        assert answer.status == 201
        url = answer.headers["Location"]
    await completed(http, url, 2 * SMALL)
    assert bucket.keys() == {url.rpartition("/")[2]}
    await until(lambda: not bucket.keys())
    assert (await tus.head(http, url)).status == 410


@ON_ONE
async def test_a_server_without_the_bucket_leaves_its_uploads_alone(
    http: aiohttp.ClientSession,
    faults: S3Faults,
    bucket: Outside,
    serve: Successors,
    aiohttp_server: AiohttpServer,
) -> None:
    files = await serve(bucket)
    url = await tus.create(http, files, len(SMALL))
    faults.choose = lambda _operation: "503"
    assert (await tus.patch(http, url, 0, SMALL)).status == 503
    files = await serve(Outside(bucket.server, bucket.bucket), publish="")
    url = f"{files}/{url.rpartition('/')[2]}"
    await asyncio.sleep(0.5)
    assert (await tus.head(http, url)).status in (423, 503)
    faults.choose = lambda _operation: ""
    files = await serve(bucket)
    await completed(http, f"{files}/{url.rpartition('/')[2]}", SMALL)
    assert len(bucket.keys()) == 1


def test_a_bucket_for_finished_files_needs_a_disk_for_the_others() -> None:
    with pytest.raises(ConfigError, match="data folder"):
        Config(publish="s3://finished/files", blobs="s3://unfinished")
    with pytest.raises(ConfigError, match="not a bucket"):
        Config(publish="gs://")
    with pytest.raises(ConfigError, match="not one of"):
        Config(publish="file:")
