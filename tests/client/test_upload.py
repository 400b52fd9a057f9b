"""`onward upload` on a good line: what it sends, prints and leaves behind."""

import hashlib
import json
import os
import random
import re
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from client_process import resume_files, run
from server_process import Server, Start

from onward.protocol.headers import parse_metadata

SIZE = 3 * 2**20 + 12345


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(random.Random(2026).randbytes(SIZE))
    return path


@pytest.mark.parametrize(
    "options",
    [(), ("--chunk-size=1M",), ("--chunk-size=700001",), ("--parallel=4",), ("--parallel=2", "--chunk-size=500K")],
    ids=" ".join,
)
async def test_a_file_arrives_verified(server: Server, file: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    ended = await run(tmp_path, "upload", str(file), "--to", server.url, "--json", *options)
    assert (ended.code, ended.err) == (0, "")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert ended.told == {
        "file": str(file), "url": ended.told["url"], "size": SIZE, "sha256": sha256, "verified": True, "sentBytes": SIZE, "resumedFrom": 0,
    }  # fmt: skip
    assert server.published(ended.told["url"]) == file.read_bytes()
    assert resume_files(tmp_path) == []


async def test_the_name_and_the_type_are_sent(
    server: Server, http: aiohttp.ClientSession, file: Path, tmp_path: Path
) -> None:
    ended = await run(tmp_path, "upload", str(file), "--to", server.url)
    answer = await tus.head(http, ended.out.strip())
    assert parse_metadata(answer.headers["Upload-Metadata"]) == {
        "filename": b"report.pdf",
        "filetype": b"application/pdf",
    }


async def test_several_files_each_with_its_url(server: Server, file: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    words = ("upload", str(file), str(tmp_path / "missing"), str(empty), "--to", server.url)
    ended = await run(tmp_path, *words)
    assert ended.code == 1, "one failed"
    assert [server.published(url) for url in ended.out.split()] == [file.read_bytes(), b""]
    assert ended.err == f"onward: {tmp_path / 'missing'} can't be read: No such file or directory\n"
    results = [json.loads(line) for line in (await run(tmp_path, *words, "--json", "--quiet")).out.splitlines()]
    assert [each.get("verified", each.get("error")) for each in results] == [True, results[1]["error"], True]


async def test_the_environment_gives_options(server: Server, file: Path, tmp_path: Path) -> None:
    ended = await run(tmp_path, "upload", str(file), environ={"ONWARD_TO": server.url, "ONWARD_CHUNK_SIZE": "1M"})
    assert server.published(ended.out.strip()) == file.read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        ("FILE",),
        ("--to=http://127.0.0.1:1/",),
        ("FILE", "--to=http://127.0.0.1:1/", "--parallel=0"),
        ("FILE", "--to=http://127.0.0.1:1/", "--chunk-size=8X"),
        ("FILE", "--to=http://127.0.0.1:1/", "--retry-for=never"),
        ("FILE", "--to=http://127.0.0.1:1/", "--header=nothing"),
        ("FILE", "--to=http://127.0.0.1:1/", "--header=Name: two\nlines"),
    ],
    ids=" ".join,
)
async def test_invalid_arguments_end_with_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    ended = await run(tmp_path, "upload", *words)
    assert (ended.code, ended.out) == (2, "")
    value = next((word for word in words if word.startswith(("--parallel", "--chunk", "--retry", "--header"))), "")
    if value:
        assert ended.err.startswith(f"onward: {value.partition('=')[0]}: "), ended.err
        assert ended.err.count("\n") == 1
    else:
        assert ended.err.startswith("usage: onward upload")


@pytest.mark.parametrize("command", ["serve", "sweep", "upload", "watch"])
async def test_what_a_command_does_is_told_alike_by_its_help_and_that_of_all(tmp_path: Path, command: str) -> None:
    wide = {"COLUMNS": "200"}
    ended = await run(tmp_path, command, "--help", environ=wide)
    does = ended.out.split("\n\n")[1]
    assert re.search(rf"^ +{command} +{re.escape(does)}$", (await run(tmp_path, "--help", environ=wide)).out, re.M)


async def test_refusals_end_at_once_with_a_sentence(start: Start, file: Path, tmp_path: Path) -> None:
    small = start("--max-size=1000", "--without=concatenation,creation-defer-length")
    url = small.url
    for words, sentence in (
        ((str(file), "--to", url), "the server answers 413: An upload may have 1000 bytes at most"),
        ((str(file), "--to", url), f" (POST {url})"),
        ((str(file), "--to", url + "/x/y"), "this URL takes no uploads"),
        ((str(file), "--to", url.removesuffix("files")), f"this URL takes no uploads; did you mean {url}?"),
        (
            (str(file), "--to", url, "--parallel", "2"),
            "the server does not offer concatenation, which --parallel needs",
        ),
        ((str(tmp_path), "--to", url), f"onward: {tmp_path} is a folder, and only files can be uploaded"),
        (("/dev/null", "--to", url), "onward: /dev/null is not a regular file"),
    ):
        ended = await run(tmp_path, "upload", *words)
        assert (ended.code, ended.out) == (1, "")
        assert sentence in ended.err, ended.err
        assert ended.err.count("\n") == 1
    ended = await run(tmp_path, "upload", "-", "--to", url, stdin=bytes(2**24))
    assert "does not offer creation-defer-length" in ended.err


async def test_a_name_of_any_bytes_is_sent_and_so_are_the_files_after_it(start: Start, tmp_path: Path) -> None:
    odd, next_one = tmp_path / os.fsdecode(b"\xff.bin"), tmp_path / "next.bin"
    for path in (odd, next_one):
        path.write_bytes(b"some bytes")
    ended = await run(tmp_path, "upload", "--json", str(odd), str(next_one), "--to", start().url)
    assert ended.code == 0, ended.err
    results = [json.loads(line) for line in ended.out.splitlines()]
    assert [one["file"] for one in results] == [f"{tmp_path}/\\udcff.bin", str(next_one)]
    assert all(one["verified"] for one in results)


async def test_a_crowded_server_is_waited_for(
    start: Start, http: aiohttp.ClientSession, file: Path, tmp_path: Path
) -> None:
    full = start("--max-open=1")
    url = full.url
    first = await tus.create(http, url, 10)
    ended = await run(tmp_path, "upload", str(file), "--to", url, "--retry-for=5")
    assert "503" in ended.err, "it asks to wait for longer than there is time"
    assert "no progress in 5 s" in ended.err
    async with http.delete(first, headers=tus.TUS) as answer:
        assert answer.status == 204
    assert (await run(tmp_path, "upload", str(file), "--to", url)).code == 0


@pytest.mark.parametrize("size", [0, 1, 8 * 2**20, 17 * 2**20 + 1])
async def test_a_stream_arrives_verified(server: Server, tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    ended = await run(tmp_path, "upload", "-", "--to", server.url, "--json", stdin=data)
    assert (ended.code, ended.told["size"], ended.told["verified"]) == (0, size, True), ended.err
    assert server.published(ended.told["url"]) == data
