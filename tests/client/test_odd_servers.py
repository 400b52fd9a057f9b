"""Servers that answer nonsense, or nothing: the client ends in time, with a sentence."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from client_process import run
from non_tus_server import odd_server
from server_process import Server

import onward.client.watch_upload
from onward import GivenUp, Options, Refused, upload, upload_stream, watch

CREATED = "201 Created\r\nLocation: /files/1"
OFFERED = "204 No Content\r\nTus-Extension: creation,creation-defer-length"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(3_000_000))
    return path


async def test_a_server_that_takes_no_byte_is_given_up(file: Path, tmp_path: Path) -> None:
    async with odd_server({"POST": CREATED, "PATCH": "204 No Content\r\nUpload-Offset: 0"}) as odd:
        with pytest.raises(GivenUp, match="accepted no bytes"):
            await upload(file, odd.url, options=Options(state=tmp_path / "state", retry_for=1))
        assert odd.asked.count("PATCH") < 50, "it waits in between"


@pytest.mark.parametrize("location", ["", "https:", "ftp://127.0.0.1/1"])
async def test_a_location_that_is_none_is_refused(file: Path, tmp_path: Path, location: str) -> None:
    async with odd_server({"POST": f"201 Created\r\nLocation: {location}"}) as odd:
        with pytest.raises(Refused, match="names no Location"):
            await upload(file, odd.url, options=Options(state=tmp_path / "state"))


async def test_a_stream_is_not_taken_for_more_than_was_sent() -> None:
    async def blocks() -> AsyncIterator[bytes]:
        yield b"some bytes"

    answers = {"OPTIONS": OFFERED, "POST": CREATED, "PATCH": "500 Odd", "HEAD": "200 OK\r\nUpload-Offset: 99"}
    async with odd_server(answers) as odd:
        with pytest.raises(Refused, match="states offset 99 after 10 bytes"):
            await upload_stream(blocks(), odd.url)


async def test_a_watcher_who_gets_no_answer_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onward.client.watch_upload, "ANSWER_WAIT", 0.2)
    async with odd_server({}) as odd:
        with pytest.raises(GivenUp, match="nothing came through in time"):
            [message async for message in watch(odd.url + "/1", retry_for=0.5)]
        assert odd.asked


async def test_a_watcher_waits_as_long_as_it_is_asked_to() -> None:
    reports: list[str] = []
    async with odd_server({"GET": "503 Crowded\r\nRetry-After: 4000"}) as odd:
        with pytest.raises(GivenUp, match="503"):
            [message async for message in watch(odd.url + "/1", retry_for=3600, on_trouble=reports.append)]
    assert reports == [], "it asks to wait for longer than there is time"


async def test_what_stays_as_it_is_ends_watching_at_once(server: Server, tmp_path: Path) -> None:
    async with odd_server({"GET": "302 Found\r\nLocation: /files/1/progress"}) as odd:
        for url, sentence in (
            (f"https://127.0.0.1:{server.tus.port}/files/1", "no safe connection"),
            (f"{odd.url}/1", "redirects in a circle"),
        ):
            ended = await run(tmp_path, "watch", url, "--retry-for=20")
            assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1), ended.err
            assert sentence in ended.err


@pytest.mark.parametrize("url", ["http://.example/files", f"http://{'a' * 64}.example/files"])
async def test_a_host_that_can_have_no_address_is_no_url(file: Path, tmp_path: Path, url: str) -> None:
    for words in (("upload", str(file), "--to", url), ("watch", url)):
        ended = await run(tmp_path, *words)
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
        assert "is not a URL" in ended.err
