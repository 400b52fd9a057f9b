"""Size and SHA-256 are checked before the last answer; a mismatch is never published, never taken for a success."""

import asyncio
import hashlib
import os
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from checking_watcher import Watcher
from onward_process import OnwardProcess, onward

DATA = b"the whole file"
SHA256 = hashlib.sha256(DATA)
DIGEST = f"sha-256=:{b64encode(SHA256.digest()).decode()}:"
WRONG = f"sha-256=:{b64encode(bytes(32)).decode()}:"


@pytest.fixture
async def server(tmp_path: Path, state_url: str) -> AsyncIterator[OnwardProcess]:
    async with onward(tmp_path / "data", state_url, ["--quiet-after=0.3", "--sweep-every=0.2"]) as process:
        yield process


def metadata(sha256: str) -> dict[str, str]:
    return {"Upload-Metadata": f"filename YS50eHQ=,sha256 {b64encode(sha256.encode()).decode()}"}


@pytest.mark.parametrize(
    "promise", [{}, {"Repr-Digest": DIGEST}, metadata(SHA256.hexdigest())], ids=["none", "header", "metadata"]
)
async def test_a_finished_upload_states_its_sha256(
    server: OnwardProcess, http: aiohttp.ClientSession, promise: dict[str, str]
) -> None:
    url = await tus.create(http, server.url, len(DATA), **promise)
    assert (await tus.patch(http, url, 0, DATA[:5])).headers["Upload-Offset"] == "5"
    answer = await tus.patch(http, url, 5, DATA[5:])
    assert answer.status == 204
    assert answer.headers["Repr-Digest"] == DIGEST
    assert (await tus.head(http, url)).headers["Repr-Digest"] == DIGEST
    async with http.get(url, headers={"Range": "bytes=4-8"}) as part:
        assert part.status == 206
        assert part.headers["Repr-Digest"] == DIGEST
        assert part.headers["Content-Range"] == f"bytes 4-8/{len(DATA)}"
        assert await part.read() == DATA[4:9]


@pytest.mark.parametrize(
    ("creation", "last"),
    [({"Repr-Digest": WRONG}, {}), (metadata("00" * 32), {}), ({}, {"Repr_Digest": WRONG})],
    ids=["header", "metadata", "last patch"],
)
async def test_a_broken_promise_is_460_then_410(
    server: OnwardProcess, http: aiohttp.ClientSession, creation: dict[str, str], last: dict[str, str]
) -> None:
    url = await tus.create(http, server.url, len(DATA), **creation)
    watcher = Watcher(url)
    async with watcher.watching():
        await watcher.until(0)
        assert (await tus.patch(http, url, 0, DATA, **last)).status == 460
    assert watcher.last["status"] == "failed"
    assert watcher.last["error"]["code"] == "checksum-mismatch"
    for answer in (await tus.head(http, url), await tus.patch(http, url, len(DATA), b"")):
        assert answer.status == 410
        assert "Upload-Offset" not in answer.headers
    async with http.get(url) as download:
        assert download.status == 410
    assert list((server.data / "files").iterdir()) == []


async def test_promises_that_differ_are_refused(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    headers = tus.TUS | {"Upload-Length": "14", "Repr-Digest": WRONG} | metadata(SHA256.hexdigest())
    async with http.post(server.url, headers=headers) as answer:
        assert answer.status == 400
    url = await tus.create(http, server.url, len(DATA), **{"Repr-Digest": DIGEST})
    assert (await tus.patch(http, url, 0, DATA, Repr_Digest=WRONG)).status == 400
    assert (await tus.patch(http, url, 0, DATA, Repr_Digest=DIGEST)).status == 204


async def test_an_empty_file_completes_at_once(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    url = await tus.create(http, server.url, 0)
    answer = await tus.head(http, url)
    assert answer.headers["Upload-Offset"] == answer.headers["Upload-Length"] == "0"
    async with http.get(url) as download:
        assert (download.status, await download.read()) == (200, b"")


async def test_a_length_stated_at_the_end_completes(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    url = await tus.create(http, server.url, None)
    assert (await tus.patch(http, url, 0, DATA)).status == 204
    assert (await tus.head(http, url)).headers["Upload-Defer-Length"] == "1"
    answer = await tus.patch(http, url, len(DATA), b"", Upload_Length=str(len(DATA)))
    assert answer.headers["Repr-Digest"] == DIGEST


async def test_creation_with_the_whole_file(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    headers = tus.TUS | tus.OCTETS | {"Upload-Length": str(len(DATA))}
    async with http.post(server.url, headers=headers, data=DATA) as answer:
        assert answer.status == 201
        assert answer.headers["Upload-Offset"] == str(len(DATA))
        assert answer.headers["Repr-Digest"] == DIGEST


async def test_two_patches_at_one_offset_never_mix(server: OnwardProcess, http: aiohttp.ClientSession) -> None:
    for _ in range(10):
        url = await tus.create(http, server.url, 200_000)
        bodies = [b"a" * 200_000, b"b" * 200_000]
        answers = await asyncio.gather(*(tus.patch(http, url, 0, body) for body in bodies))
        assert sorted(answer.status for answer in answers)[0] == 204
        assert {answer.status for answer in answers} <= {204, 409, 423}
        stored = (server.data / "files" / url.rpartition("/")[2]).read_bytes()
        assert stored in bodies


async def test_silence_is_reported_as_paused_and_termination_to_watchers(
    server: OnwardProcess, http: aiohttp.ClientSession
) -> None:
    url = await tus.create(http, server.url, len(DATA))
    watcher = Watcher(url)
    async with watcher.watching():
        await tus.patch(http, url, 0, DATA[:5])
        for _ in range(50):
            if watcher.messages and watcher.last["status"] == "paused":
                break
            await asyncio.sleep(0.1)
        assert [message["status"] for message in watcher.messages][-2:] == ["uploading", "paused"]
        async with http.delete(url, headers=tus.TUS) as answer:
            assert answer.status == 204
    assert watcher.last["status"] == "terminated"
    assert (await tus.head(http, url)).status == 410
    assert list((server.data / "partial").iterdir()) == []


async def test_a_new_process_goes_on_hashing_without_reading_again(
    http: aiohttp.ClientSession, state_url: str, tmp_path: Path
) -> None:
    data = os.urandom(3 * 2**20 + 17)
    async with onward(tmp_path / "data", state_url) as server:
        url = await tus.create(http, server.url, len(data))
        assert (await tus.patch(http, url, 0, data[: 2**21])).status == 204
        await server.kill9()
        bytes_ = server.data / "partial" / url.rpartition("/")[2]
        with bytes_.open("r+b") as file:
            file.write(b"~" * 2**20)  # what was hashed already isn't looked at again, so nobody sees this
        await server.start()
        answer = await tus.patch(http, url, 2**21, data[2**21 :])
        assert answer.headers["Repr-Digest"] == f"sha-256=:{b64encode(hashlib.sha256(data).digest()).decode()}:"
