"""The same command run again: it sends what is left, and not what it had finished before it was interrupted."""

import asyncio
import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import tus_requests as tus
from client_process import Ended, end_of, resume_files, run, started
from server_process import Server
from unreliable_proxy import RoughLine

from onward import Options
from onward.client.cli.batch import Batch
from onward.client.cli.items import Item
from onward.client.file import opened
from onward.client.label import Label
from onward.client.resume_file import Finished, open_resume_file

MIB = 2**20
SMALL, LARGE = 100_000, 16 * MIB
RATE = 8 * MIB
LOOKS = 1000


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two small files and a large one."""
    source = tmp_path / "source"
    source.mkdir()
    for name, size in (("a.bin", SMALL), ("b.bin", SMALL + 1), ("c.bin", LARGE)):
        (source / name).write_bytes(random.Random(str(tmp_path) + name).randbytes(size))
    return [str(path) for path in sorted(source.iterdir())]


def results(ended: Ended) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.out.splitlines()]


async def interrupted(
    proxy: RoughLine, tmp_path: Path, files: list[str], *options: str, by: signal.Signals = signal.SIGINT
) -> list[str]:
    """Interrupt an upload of three files in the third; gives the URLs of the first two."""
    async with started(tmp_path, "upload", *files, "--to", proxy.url, *options) as process:
        assert process.stdout is not None
        urls = [(await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip() for _ in range(2)]
        before = proxy.taken
        while proxy.taken < before + MIB:
            await asyncio.sleep(0.02)
        process.send_signal(by)
        ended = await end_of(process)
    assert ended.out == ""
    if by is not signal.SIGKILL:
        rest = " ".join(["upload", *files, "--to", proxy.url])
        assert f"to resume, run the same command: onward {rest}\n" in ended.err
    return urls


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_what_an_interrupted_command_had_finished_is_not_sent_again(
    server: Server, files: list[str], tmp_path: Path, by: signal.Signals
) -> None:
    async with RoughLine(server.tus.port, rate=RATE).running() as proxy:
        urls = await interrupted(proxy, tmp_path, files, by=by)
        proxy.hurry()
        published = len(list((server.data / "files").iterdir()))
        ended = await run(tmp_path, "upload", *files, "--to", proxy.url, "--json")
    assert ended.code == 0
    assert [one["url"] for one in results(ended)[:2]] == urls
    assert [(one["alreadyUploaded"], one["sentBytes"], one["verified"]) for one in results(ended)[:2]] == [
        (True, 0, True)
    ] * 2
    assert "alreadyUploaded" not in results(ended)[2]
    assert results(ended)[2]["resumedFrom"] > 0
    assert ended.err == "".join(
        f"{file}: already uploaded: {url} (--again uploads it again)\n" for file, url in zip(files, urls, strict=False)
    )
    assert len(list((server.data / "files").iterdir())) == published + 1
    for file, one in zip(files, results(ended), strict=True):
        assert server.published(one["url"]) == Path(file).read_bytes()
    assert resume_files(tmp_path) == []


async def test_a_command_that_has_finished_uploads_a_second_copy_when_it_is_run_again(
    server: Server, files: list[str], tmp_path: Path
) -> None:
    urls = {(await run(tmp_path, "upload", files[0], "--to", server.url)).out for _ in range(2)}
    assert len(urls) == 2


async def test_a_second_copy_can_be_asked_for_and_resumes_as_well(
    server: Server, files: list[str], tmp_path: Path
) -> None:
    async with RoughLine(server.tus.port, rate=RATE).running() as proxy:
        first = await interrupted(proxy, tmp_path, files)
        second = await interrupted(proxy, tmp_path, files, "--again")
        proxy.hurry()
        ended = await run(tmp_path, "upload", *files, "--to", proxy.url)
    assert set(first).isdisjoint(second)
    assert ended.out.split()[:2] == second


async def test_what_the_server_has_no_more_is_uploaded_again(
    server: Server, http: aiohttp.ClientSession, files: list[str], tmp_path: Path
) -> None:
    async with RoughLine(server.tus.port, rate=RATE).running() as proxy:
        urls = await interrupted(proxy, tmp_path, files)
        async with http.delete(urls[0], headers=tus.TUS) as answer:
            assert answer.status == 204
        proxy.hurry()
        ended = await run(tmp_path, "upload", *files, "--to", proxy.url)
    assert ended.code == 0
    assert ended.out.split()[0] != urls[0]
    assert ended.out.split()[1] == urls[1]
    assert server.published(ended.out.split()[0]) == Path(files[0]).read_bytes()


async def test_a_file_that_has_changed_is_another_upload(server: Server, files: list[str], tmp_path: Path) -> None:
    async with RoughLine(server.tus.port, rate=RATE).running() as proxy:
        urls = await interrupted(proxy, tmp_path, files)
        Path(files[0]).write_bytes(b"another".ljust(SMALL))
        proxy.hurry()
        ended = await run(tmp_path, "upload", *files, "--to", proxy.url, "--quiet")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.split()[0] not in urls
    assert server.published(ended.out.split()[0]) == Path(files[0]).read_bytes()


async def test_after_a_failure_only_the_files_that_failed_are_sent(
    server: Server, files: list[str], tmp_path: Path
) -> None:
    late = tmp_path / "late.bin"
    words = ("upload", files[0], str(late), "--to", server.url, "--json")
    first = await run(tmp_path, *words)
    assert first.code == 1
    late.write_bytes(b"some bytes")
    second = await run(tmp_path, *words)
    assert second.code == 0
    assert [one.get("alreadyUploaded", False) for one in results(second)] == [True, False]
    assert results(second)[0]["url"] == results(first)[0]["url"]
    assert resume_files(tmp_path) == []


async def test_what_is_remembered_as_finished_is_held_against_the_server(
    server: Server, http: aiohttp.ClientSession, files: list[str], tmp_path: Path
) -> None:
    """The finished upload in the resume file has the length of the file, but other bytes; another one is not even complete."""
    file = Path(files[0])
    other = await tus.create(http, server.url, SMALL)
    for offset, length in ((0, 10), (10, SMALL - 10)):
        with opened(file) as source, open_resume_file(tmp_path / "onward", source.identity, server.url) as resume_file:
            resume_file.finish(str(file), Finished(other, "0" * 64, True))
        ended = await run(tmp_path, "upload", str(file), "--to", server.url)
        assert ended.code == 0, ended.err
        assert ended.out.strip() != other
        assert server.published(ended.out.strip()) == file.read_bytes()
        assert (await tus.patch(http, other, offset, bytes(length))).status == 204


async def test_a_refusal_of_the_question_is_no_reason_to_send_again(
    server: Server, files: list[str], tmp_path: Path
) -> None:
    file = Path(files[0])
    with opened(file) as source, open_resume_file(tmp_path / "onward", source.identity, server.url) as resume_file:
        resume_file.finish(str(file), Finished(server.url, "0" * 64, True))
    ended = await run(tmp_path, "upload", str(file), "--to", server.url)
    assert (ended.code, ended.out) == (1, "")
    assert "405" in ended.err


async def test_a_file_that_another_process_sends_is_not_forgotten(
    server: Server, files: list[str], tmp_path: Path
) -> None:
    """One process has finished a file; before it ends, another one uploads that file again."""
    async with Batch(server.url, Options(state=tmp_path)) as batch:
        await batch.upload(Item(path=files[0], label=Label(), size=SMALL), lambda _: None)
        with opened(Path(files[0])) as source, open_resume_file(tmp_path, source.identity, server.url) as resume_file:
            assert resume_file.finished()
            batch.forget()
            assert resume_file.finished(), "it is locked"
        batch.forget()
    assert os.listdir(tmp_path) == ["source"]
