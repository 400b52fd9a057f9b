"""`onward upload --protocol ietf`: the same promises in the IETF draft, in one process and in the next."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest
from client_process import end_of, resume_files, run, started
from embedded_server import embedded
from server_process import Server
from unreliable_proxy import Fault, RoughLine

from onward import upload
from onward.client.errors import Mismatch, Refused
from onward.client.file import File
from onward.client.model import Options
from onward.client.upload_stream import upload_stream

MIB = 2**20
SIZE = 3 * MIB + 12345
DRAFT = {"Upload-Draft-Interop-Version": "6"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "Bericht é.pdf"
    path.write_bytes(random.Random(2026).randbytes(SIZE))
    return path


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(protocol="ietf", state=tmp_path / "state", retry_for=20)


async def head(http: aiohttp.ClientSession, url: str, headers: Mapping[str, str] = DRAFT) -> Mapping[str, str]:
    async with http.head(url, headers=headers) as answer:
        assert answer.ok
        return answer.headers


@pytest.mark.parametrize("more", [(), ("--chunk-size=700001",)], ids=" ".join)
async def test_a_file_arrives_verified(
    server: Server, http: aiohttp.ClientSession, file: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    ended = await run(tmp_path, "upload", str(file), "--to", server.url, "--json", "--protocol=ietf", *more)
    assert (ended.code, ended.err) == (0, "")
    assert (ended.told["verified"], ended.told["sentBytes"]) == (True, SIZE)
    assert server.published(ended.told["url"]) == file.read_bytes()
    assert (await head(http, ended.told["url"]))["Upload-Complete"] == "?1"
    async with http.get(ended.told["url"] + "/progress") as answer:
        assert (await answer.json())["fileName"] == file.name
    tus = await head(http, ended.told["url"], {"Tus-Resumable": "1.0.0"})
    assert tus["Upload-Length"] == str(SIZE)


async def test_streams_and_empty_files_arrive_verified(server: Server, tmp_path: Path, options: Options) -> None:
    async def blocks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield bytes(MIB)

    for count in (0, 1, 9):
        result = await upload_stream(blocks(count), server.url, options=options)
        assert (result.size, result.verified) == (count * MIB, True)
        assert server.published(result.url) == bytes(count * MIB)
    (tmp_path / "empty").touch()
    result = await upload(tmp_path / "empty", server.url, options=options)
    assert (result.size, result.verified) == (0, True)
    assert server.published(result.url) == b""


async def test_a_rough_line_is_survived(server: Server, file: Path, options: Options) -> None:
    async with RoughLine(server.tus.port, [(MIB, Fault.CUT), (500_000, Fault.CUT), (100, Fault.CUT)]).running() as line:
        result = await upload(file, line.url, options=options)
        assert len(line.done) == 3
    assert result.verified
    assert server.published(result.url) == file.read_bytes()


async def test_a_new_process_goes_on(server: Server, http: aiohttp.ClientSession, file: Path, tmp_path: Path) -> None:
    async with RoughLine(server.tus.port, rate=MIB).running() as proxy:
        words = ("upload", str(file), "--to", proxy.url, "--protocol=ietf", "--json")
        async with started(tmp_path, *words) as process:
            [url] = await urls_in(tmp_path)
            while int((await head(http, url))["Upload-Offset"]) < MIB // 4:
                await asyncio.sleep(0.05)
            process.send_signal(signal.SIGKILL)
            await end_of(process)
        ended = await run(tmp_path, *words)
    assert ended.code == 0, ended.err
    assert (ended.told["verified"], ended.told["url"]) == (True, url)
    assert ended.told["sentBytes"] == SIZE - ended.told["resumedFrom"] < SIZE
    assert server.published(url) == file.read_bytes()
    assert resume_files(tmp_path) == []


async def test_an_upload_that_has_all_bytes_and_is_not_finished_is_finished(
    http: aiohttp.ClientSession, file: Path, tmp_path: Path, options: Options
) -> None:
    """The last answer was lost after the bytes were stored, and a new process comes."""
    async with embedded(tmp_path / "data", state="sqlite:") as files:
        told: list[str] = []
        halfway = asyncio.create_task(
            upload(file, files, on_progress=lambda progress: told.append(progress.url or ""), options=options)
        )
        while not any(told):
            await asyncio.sleep(0.001)
        halfway.cancel()
        await asyncio.wait({halfway})
        [url] = set(told) - {""}
        offset = int((await head(http, url))["Upload-Offset"])
        rest = {"Upload-Complete": "?1", "Upload-Offset": str(offset), "Content-Type": "application/partial-upload"}

        async def cut() -> AsyncIterator[bytes]:
            """Give all bytes in chunks, but not the end of them."""
            yield file.read_bytes()[offset:]
            await asyncio.sleep(0.5)
            raise ConnectionResetError

        with pytest.raises((aiohttp.ClientError, ConnectionResetError)):
            await http.patch(url, headers=DRAFT | rest, data=cut())
        seen = await head(http, url)
        assert (seen["Upload-Offset"], seen["Upload-Complete"]) == (str(SIZE), "?0")
        result = await upload(file, files, options=options)
        assert (result.url, result.verified, result.sent_bytes) == (url, True, 0)
        assert (await head(http, url))["Upload-Complete"] == "?1"


async def test_bytes_that_differ_are_a_mismatch(
    server: Server,
    http: aiohttp.ClientSession,
    file: Path,
    tmp_path: Path,
    options: Options,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def wrong(_: File) -> bytes:
        return bytes(32)

    monkeypatch.setattr(File, "sha256", wrong)
    urls: set[str | None] = set()
    with pytest.raises(Mismatch):
        await upload(file, server.url, on_progress=lambda progress: urls.add(progress.url), options=options)
    [url] = urls - {None}
    async with http.head(str(url), headers=DRAFT) as answer:
        assert answer.status == 410, "the server has compared it before it published anything"
    assert list((tmp_path / "state").glob("*.json")) == []


async def urls_in(state: Path) -> list[str]:
    """Wait for the resume file, and return the URLs in it."""
    while not (paths := list((state / "onward").glob("*.json"))):
        await asyncio.sleep(0.01)
    return [word for word in paths[0].read_text().split('"') if word.startswith("http")]


async def test_what_the_draft_can_not_do_is_refused_at_once(file: Path, tmp_path: Path, server: Server) -> None:
    with pytest.raises(ValueError, match="join"):
        Options(protocol="ietf", parallel=2)
    with pytest.raises(ValueError, match="protocol"):
        Options(protocol="ftp")
    words = ("upload", str(file), "--to", server.url, "--parallel=2")
    for environ in ({}, {"ONWARD_PROTOCOL": "ietf"}):
        ended = await run(tmp_path, *words, *([] if environ else ["--protocol=IETF"]), environ=environ)
        assert (ended.code, ended.err) == (
            2, "onward: --parallel: the IETF draft can't join uploads; leave out --protocol=ietf\n",
        )  # fmt: skip


async def test_the_target_is_named_if_it_is_another_one(server: Server, file: Path, options: Options) -> None:
    with pytest.raises(Refused, match="did you mean"):
        await upload(file, server.url.removesuffix("files"), options=options)
