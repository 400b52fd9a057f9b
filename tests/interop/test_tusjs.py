"""tus-js-client in each of its modes: whole, in chunks, in parallel, of unknown length, stopped, resumed, terminated."""

import json
import random
import signal
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from end_to_end_scenario import Client, sha256_of, size_of, talking
from midway_wait import HEADERS, offsets, until_stored
from nodejs import node_words
from server_process import Server
from unreliable_proxy import RoughLine

MIB = 2**20
SIZES = {"some chunks and a rest": 3 * MIB + 12345, "full chunks only": 3 * MIB}
RATE = 4 * MIB  # a second, so that there is time to stop in the middle
Options = dict[str, object]
WHOLE: Options = {}
CHUNKED: Options = {"chunkSize": MIB}
PARALLEL: Options = {"parallelUploads": 4}
DRAFT: Options = {"protocol": "ietf-draft-05"}  # interop version 6 of the IETF draft


@pytest.fixture(params=SIZES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return source(tmp_path, SIZES[request.param])


def source(folder: Path, size: int) -> Path:
    path = folder / "file.bin"
    path.write_bytes(random.Random(2026).randbytes(size))
    return path


def sending(port: int, file: Path, options: Options, **more: object) -> AbstractAsyncContextManager[Client]:
    words = [f"http://127.0.0.1:{port}/files", str(file), json.dumps({"options": options, **more})]
    return talking([*node_words("tusjs_modes.js", "tus-js-client"), *words])


async def created(sender: Client, count: int) -> list[str]:
    """Give the URLs of as many uploads as the client creates."""
    return [(await sender.told(20))["created"] for _ in range(count)]


async def end_of(sender: Client) -> dict[str, Any]:
    """Give how the client ended, after all uploads that it creates."""
    while "ok" not in (told := await sender.told(30)):
        pass
    assert told["ok"], told
    return told


@pytest.mark.parametrize(
    ("options", "bodies"),
    [
        pytest.param(WHOLE, ["PATCH 204"], id="whole"),
        pytest.param(CHUNKED, ["PATCH 204"] * 3, id="chunked"),
        pytest.param({"overridePatchMethod": True}, ["POST 204"], id="overridePatchMethod"),
        pytest.param({"addRequestId": True}, ["PATCH 204"], id="addRequestId"),
        pytest.param({"uploadDataDuringCreation": True}, [], id="uploadDataDuringCreation"),
        pytest.param(
            CHUNKED | {"uploadDataDuringCreation": True}, ["PATCH 204"] * 2, id="uploadDataDuringCreation-chunked"
        ),
    ],
)
async def test_a_file_arrives_whole(server: Server, file: Path, options: Options, bodies: list[str]) -> None:
    rest = ["PATCH 204"] if "chunkSize" in options and size_of(file) % MIB else []
    async with sending(server.tus.port, file, options) as sender:
        end = await end_of(sender)
    assert end["requests"] == ["POST 201", *bodies, *rest]
    assert server.kept.sha256(end["url"]) == sha256_of(file)


async def test_a_stream_of_unknown_length_arrives_whole(server: Server, file: Path) -> None:
    async with sending(server.tus.port, file, CHUNKED | {"uploadLengthDeferred": True}, stream=True) as sender:
        end = await end_of(sender)
    last_with_the_length = "PATCH 204"  # the rest, or nothing after full chunks
    assert end["requests"] == ["POST 201", *["PATCH 204"] * 3, last_with_the_length]
    assert server.kept.sha256(end["url"]) == sha256_of(file)


@pytest.mark.parametrize("options", [PARALLEL, PARALLEL | CHUNKED], ids=["whole", "chunked"])
async def test_parts_sent_in_parallel_become_one_file(server: Server, file: Path, options: Options) -> None:
    before = server.kept.files()
    async with sending(server.tus.port, file, options) as sender:
        final = (await created(sender, 5))[-1]
        end = await end_of(sender)
    assert end["url"] == final
    assert sorted(end["requests"]) == ["PATCH 204"] * 4 + ["POST 201"] * 5
    assert server.kept.files() - before == {final.rpartition("/")[2]}, "a part is no file"
    assert server.kept.sha256(final) == sha256_of(file)


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL], ids=["aborted", "killed"])
@pytest.mark.parametrize(
    ("options", "uploads"),
    [
        pytest.param(WHOLE, 1, id="whole"),
        pytest.param(CHUNKED, 1, id="chunked"),
        pytest.param(PARALLEL, 4, id="parallel"),
    ],
)
async def test_a_new_process_sends_only_the_rest(
    server: Server, http: aiohttp.ClientSession, tmp_path: Path, options: Options, uploads: int, by: signal.Signals
) -> None:
    size = 8 * MIB + 12345
    file, storage = source(tmp_path, size), str(tmp_path / "uploads.json")
    async with RoughLine(server.tus.port, rate=RATE / uploads).running() as proxy:
        async with sending(proxy.port, file, options, storage=storage) as first:
            urls = await created(first, uploads)
            await until_stored(http, urls, size // 4)
            await first.end(by)
        begin = await offsets(http, urls, proxy)
        assert size // 4 <= begin < size
        before = proxy.taken
        async with sending(proxy.port, file, options, storage=storage) as second:
            end = await end_of(second)
    assert size - begin <= proxy.taken - before <= size - begin + HEADERS
    assert end["requests"].count("HEAD 200") == uploads
    assert end["requests"].count("POST 201") == (1 if uploads > 1 else 0), "the final upload alone is created"
    assert server.kept.sha256(end["url"]) == sha256_of(file)


@pytest.mark.parametrize(
    ("options", "uploads"), [pytest.param(WHOLE, 1, id="whole"), pytest.param(PARALLEL, 4, id="parallel")]
)
async def test_a_terminated_upload_leaves_nothing_behind(
    server: Server, http: aiohttp.ClientSession, tmp_path: Path, options: Options, uploads: int
) -> None:
    file = source(tmp_path, 8 * MIB)
    async with RoughLine(server.tus.port, rate=RATE / uploads).running() as proxy:
        async with sending(proxy.port, file, options) as sender:
            urls = await created(sender, uploads)
            await until_stored(http, urls, MIB)
            assert all(server.kept.of(url) for url in urls)
            await sender.end(signal.SIGHUP)
        for url in urls:
            assert (await tus.head(http, url)).status in {404, 410}
            assert server.kept.of(url) == []


@pytest.mark.parametrize(
    ("options", "size", "bodies"),
    [
        pytest.param({}, 3 * MIB + 1, ["PATCH 200"], id="whole"),
        pytest.param({"chunkSize": MIB}, 3 * MIB, ["PATCH 201", "PATCH 201", "PATCH 200"], id="chunked"),
        pytest.param({}, 0, [], id="empty"),
    ],
)
async def test_a_file_arrives_whole_by_the_ietf_draft(
    server: Server, tmp_path: Path, options: Options, size: int, bodies: list[str]
) -> None:
    file = source(tmp_path, size)
    async with sending(server.tus.port, file, DRAFT | options) as sender:
        end = await end_of(sender)
    assert end["requests"] == ["POST 201", *bodies]
    assert server.kept.sha256(end["url"]) == sha256_of(file)


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL], ids=["paused", "killed"])
async def test_a_new_process_sends_only_the_rest_by_the_ietf_draft(
    server: Server, http: aiohttp.ClientSession, tmp_path: Path, by: signal.Signals
) -> None:
    size = 8 * MIB + 12345
    file, storage = source(tmp_path, size), str(tmp_path / "uploads.json")
    async with RoughLine(server.tus.port, rate=RATE).running() as proxy:
        async with sending(proxy.port, file, DRAFT, storage=storage) as first:
            urls = await created(first, 1)
            await until_stored(http, urls, size // 4)
            await first.end(by)
        begin = await offsets(http, urls, proxy)
        assert size // 4 <= begin < size
        async with sending(proxy.port, file, DRAFT, storage=storage) as second:
            end = await end_of(second)
    assert end["requests"] == ["HEAD 204", "PATCH 200"]
    assert server.kept.sha256(end["url"]) == sha256_of(file)


async def test_the_other_draft_of_the_client_is_not_offered(server: Server, tmp_path: Path) -> None:
    async with sending(server.tus.port, source(tmp_path, 5), {"protocol": "ietf-draft-03"}) as sender:
        while "ok" not in (told := await sender.told(30)):
            pass
    assert not told["ok"], "it appends with the media type of tus"
