"""The client from code: uploads, streams and watching, with the progress that is reported."""

import asyncio
import hashlib
import os
import random
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from server_process import Server, Start
from unreliable_proxy import RoughLine
from yarl import URL

from onward import FileChanged, Mismatch, Options, Progress, Refused, Uploaded, upload, upload_stream, watch
from onward.client.file import BLOCK, STEP, File, opened
from onward.client.resume_file import Part, ResumeFile, ResumeState, open_resume_file

MIB = 2**20
SIZE = 9 * MIB + 12345


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(random.Random(2026).randbytes(SIZE))
    return path


async def test_progress_is_told_up_to_the_end(server: Server, file: Path, tmp_path: Path) -> None:
    reports: list[Progress] = []
    result = await upload(file, server.url, on_progress=reports.append, options=Options(state=tmp_path / "state"))
    assert result == Uploaded(
        file_name="file.bin", url=result.url, size=SIZE, sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        verified=True, sent_bytes=SIZE, resumed_from=0,
    )  # fmt: skip
    sent = [progress.sent for progress in reports]
    assert sent == sorted(sent)
    assert {progress.url for progress in reports if progress.sent} == {result.url}
    assert (reports[-1].sent, reports[-1].confirmed, reports[-1].size, reports[-1].trouble) == (SIZE, SIZE, SIZE, None)


def test_it_is_easy_without_a_loop(server: Server, file: Path, tmp_path: Path) -> None:
    assert asyncio.run(upload(file, server.url, options=Options(state=tmp_path / "state"))).verified


async def test_a_call_goes_on_where_a_cancelled_one_stopped(
    server: Server, http: aiohttp.ClientSession, file: Path, tmp_path: Path
) -> None:
    options, halfway = Options(state=tmp_path / "state"), asyncio.Event()

    def look(progress: Progress) -> None:
        if progress.sent > SIZE // 2:
            halfway.set()

    async with RoughLine(server.tus.port, rate=16 * MIB).running() as proxy:
        url = proxy.url
        first = asyncio.create_task(upload(file, url, on_progress=look, options=options))
        await asyncio.wait_for(halfway.wait(), 30)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        result = await upload(file, url, options=options)
    assert result.verified
    assert result.resumed_from > 0
    assert result.sent_bytes == SIZE - result.resumed_from


async def test_a_stream_and_its_watcher(server: Server) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(MIB)

    result = await upload_stream(blocks(), server.url, name="zeros.bin")
    assert (result.size, result.verified) == (20 * MIB, True)
    assert [(message.status, message.file_name) async for message in watch(result.url)] == [("completed", "zeros.bin")]


async def test_headers_stay_with_the_origin_they_are_for(start: Start, file: Path, tmp_path: Path) -> None:
    """With this header every request is a POST, which only a creation may be."""
    proxied = start("--trusted-proxies=127.0.0.1")
    headers = {"X-HTTP-Method-Override": "POST"}
    with pytest.raises(Refused, match="405"):
        await upload(file, proxied.url, options=Options(headers=headers, state=tmp_path / "1"))
    headers |= {"X-Forwarded-Proto": "http", "X-Forwarded-Host": f"localhost:{proxied.tus.port}"}
    result = await upload(file, proxied.url, options=Options(headers=headers, state=tmp_path / "2"))
    assert (URL(result.url).host, result.verified) == ("localhost", True)


@pytest.mark.parametrize("at", [0, 1, BLOCK, STEP, STEP + 1, SIZE - 1])
async def test_the_sha256_is_right_wherever_sending_begins(file: Path, at: int) -> None:
    with opened(file) as source:
        assert b"".join([block async for block in source.blocks(at, SIZE)]) == file.read_bytes()[at:]
        assert [block async for block in source.blocks(at // 2, at)][:1] != [b""]
        assert await source.sha256() == hashlib.sha256(file.read_bytes()).digest()


async def test_the_sha256_is_right_in_any_order(file: Path) -> None:
    async def read(source: File, start: int, stop: int) -> None:
        async for _ in source.blocks(start, stop):
            await asyncio.sleep(0)

    with opened(file) as source:
        edges = [0, 2 * MIB + 1, 5 * MIB, SIZE]
        await asyncio.gather(*(read(source, *span) for span in pairwise(edges)))
        assert await source.sha256() == hashlib.sha256(file.read_bytes()).digest()


async def test_a_file_that_becomes_shorter_is_noticed(file: Path) -> None:
    with opened(file) as source:
        os.truncate(file, MIB)
        with pytest.raises(FileChanged):
            [block async for block in source.blocks(0, SIZE)]


def memory(folder: Path, file: Path) -> "ResumeFile":
    with opened(file) as source, open_resume_file(folder, source.identity, "http://127.0.0.1/files") as found:
        return found


@pytest.mark.parametrize("words", [{"chunk_size": 0}, {"chunk_size": -5}, {"parallel": 0}, {"stall_after": 0.0}])
def test_options_that_get_nowhere_are_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(words))}: .* is out of range"):
        Options(**words)


def test_a_resume_file_is_found_again_or_ignored(file: Path, tmp_path: Path) -> None:
    record = ResumeState(file=str(file), parts=(Part(0, SIZE, "http://127.0.0.1/files/1"),))
    memory(tmp_path / "state", file).save(record)
    assert memory(tmp_path / "state", file).load() == record
    [path] = (tmp_path / "state").iterdir()
    path.write_bytes(b"{broken")
    assert memory(tmp_path / "state", file).load() is None


async def test_a_server_that_tells_another_sha256_is_not_believed(
    server: Server, http: aiohttp.ClientSession, file: Path, tmp_path: Path
) -> None:
    """The resume file names an upload of other bytes, of the same length and complete."""
    other = await tus.create(http, server.url, SIZE)
    assert (await tus.patch(http, other, 0, bytes(SIZE))).status == 204
    with opened(file) as source, open_resume_file(tmp_path / "state", source.identity, server.url) as found:
        found.save(ResumeState(file=str(file), parts=(Part(0, SIZE, other),)))
    with pytest.raises(Mismatch, match="has other bytes"):
        await upload(file, server.url, options=Options(state=tmp_path / "state"))
