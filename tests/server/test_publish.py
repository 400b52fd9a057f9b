"""`--publish`: unfinished bytes in the data folder, finished files in a bucket, once and whole."""

import asyncio
import hashlib
import random
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from azurite_process import AzuriteProcess
from published_files import MIB, Outside, Successors, outside
from pytest_aiohttp.plugin import AiohttpServer
from yarl import URL

SMALL, LARGE = b"finished", random.Random(5).randbytes(11 * MIB + 3)
NAME = "Bericht für Zoë.txt"
METADATA = {"Upload-Metadata": f"filename {b64encode(NAME.encode()).decode()}"}
pytestmark = pytest.mark.slow


@pytest.fixture(params=["versitygw", "seaweedfs", "azurite"])
def bucket(request: pytest.FixtureRequest) -> Outside:
    return outside(request.getfixturevalue(request.param))


@pytest.fixture
def serve(tmp_path: Path, aiohttp_server: AiohttpServer) -> Successors:
    """Start servers on one data folder, one after the other."""
    return Successors(tmp_path / "data", aiohttp_server)


def id_of(url: str) -> str:
    return url.rpartition("/")[2]


async def upload(http: aiohttp.ClientSession, files: str, data: bytes, **headers: str) -> str:
    url = await tus.create(http, files, len(data), **headers)
    if data:
        assert (await tus.patch(http, url, 0, data)).status == 204
    return url


@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
async def test_a_finished_file_is_in_the_bucket_and_not_in_the_data_folder(
    http: aiohttp.ClientSession, bucket: Outside, serve: Successors, data: bytes
) -> None:
    files = await serve(bucket)
    url = await upload(http, files, data, **METADATA)
    assert bucket.keys() == {id_of(url)}
    there = bucket.object(id_of(url))
    assert there.data == data
    assert there.metadata == {"onward": id_of(url), "sha256": hashlib.sha256(data).hexdigest()}
    assert there.content_type == ("text/plain" if data == SMALL else "application/octet-stream")
    assert "Zo%C3%AB" in there.disposition
    assert serve.arrived() == []
    async with http.get(url) as got:
        assert got.status == 200
        assert await got.read() == data
    if data:
        async with http.get(url, headers={"Range": "bytes=2-5"}) as got:
            assert got.status == 206
            assert await got.read() == data[2:6]
    async with http.get(f"{url}/progress") as told:
        assert (await told.json())["path"] == id_of(url)
    async with http.delete(url, headers=tus.TUS) as gone:
        assert gone.status == 204
    assert bucket.keys() == set()


async def test_a_download_is_redirected_to_a_signed_url(
    http: aiohttp.ClientSession, bucket: Outside, serve: Successors
) -> None:
    files = await serve(bucket, download="redirect")
    url = await upload(http, files, SMALL, **METADATA)
    async with http.get(url, allow_redirects=False) as sent:
        assert sent.status == 302
        location = sent.headers["Location"]
    async with aiohttp.ClientSession() as other, other.get(URL(location, encoded=True)) as got:
        assert got.status == 200
        assert await got.read() == SMALL
        assert "Zo%C3%AB" in got.headers["Content-Disposition"]


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
async def test_nothing_in_the_bucket_is_ever_overwritten(
    http: aiohttp.ClientSession, bucket: Outside, serve: Successors, data: bytes
) -> None:
    files = await serve(bucket, layout="in/{name}")
    bucket.put("in/Bericht für Zoë.txt", b"of somebody else")
    first = await upload(http, files, data, **METADATA)
    second = await upload(http, files, data[::-1], **METADATA)
    names = {f"in/Bericht für Zoë-{id_of(url)[:8]}.txt" for url in (first, second)}
    assert bucket.keys() == names | {"in/Bericht für Zoë.txt"}
    assert bucket.object("in/Bericht für Zoë.txt").data == b"of somebody else"
    for url, sent in ((first, data), (second, data[::-1])):
        async with http.get(url) as got:
            assert await got.read() == sent
        async with http.delete(url, headers=tus.TUS) as gone:
            assert gone.status == 204
    assert bucket.keys() == {"in/Bericht für Zoë.txt"}


async def test_a_container_that_does_not_exist_is_said(
    http: aiohttp.ClientSession, azurite: AzuriteProcess, serve: Successors
) -> None:
    files = await serve(replace(outside(azurite), bucket="nowhere"))
    async with http.get(files.removesuffix("/files") + "/readyz") as told:
        assert told.status == 503
        assert "no such bucket" in await told.text()


async def test_a_bucket_that_is_not_there_does_not_mean_that_a_file_is_gone(
    http: aiohttp.ClientSession, bucket: Outside, serve: Successors
) -> None:
    url = await upload(http, await serve(bucket), SMALL)
    elsewhere = await serve(replace(bucket, bucket="never-made"))
    async with http.get(f"{elsewhere}/{id_of(url)}", headers={"Range": "bytes=0-3"}) as told:
        assert told.status == 503, await told.text()
    back = await serve(bucket)
    async with http.get(f"{back}/{id_of(url)}") as got:
        assert await got.read() == SMALL
    elsewhere = await serve(replace(bucket, bucket="never-made"))
    async with http.delete(f"{elsewhere}/{id_of(url)}", headers=tus.TUS) as gone:
        assert gone.status == 204
    assert bucket.keys() == {id_of(url)}
    await serve(bucket)
    for _ in range(200):
        if not bucket.keys():  # a sweep has removed it
            break
        await asyncio.sleep(0.1)
    assert not bucket.keys()
