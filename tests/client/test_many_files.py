"""Many files in one command: folders, metadata, several at once, and small ones in one request each."""

import asyncio
import base64
import json
import os
import resource
import signal
from pathlib import Path

import aiohttp
import pytest
import tus_requests as tus
from client_process import end_of, resume_files, run, started
from server_process import Server
from unreliable_proxy import Fault, RoughLine

from onward.client.journal import open_journal
from onward.client.resume_file import Finished

COUNT = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small files in a folder and one below it, an empty one, one that is not small, and a link in a circle."""
    top = tmp_path / "photos"
    (top / "winter").mkdir(parents=True)
    for number in range(COUNT):
        (top / "winter" / f"{number:03}.txt").write_bytes(os.urandom(2000 + number))
    (top / "empty").write_bytes(b"")
    (top / "large.bin").write_bytes(os.urandom(200_000))
    (top / "circle").symlink_to(top)
    return top


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(Path("photos", path.relative_to(folder))): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "circle" not in path.parts
    }


async def metadata_of(http: aiohttp.ClientSession, url: str) -> dict[str, str]:
    async with http.head(url, headers=tus.TUS) as answer:
        pairs = [pair.partition(" ") for pair in answer.headers["Upload-Metadata"].split(",")]
        return {key: base64.b64decode(value).decode() for key, _, value in pairs}


async def test_a_folder_is_uploaded_with_its_paths_and_each_file_is_verified(
    server: Server, http: aiohttp.ClientSession, folder: Path, tmp_path: Path
) -> None:
    ended = await run(
        tmp_path, "upload", "-r", str(folder), "--to", server.url, "--json", "--metadata", "album=a=b, c", "--jobs=3"
    )
    assert (ended.code, ended.err) == (0, "")
    told = [json.loads(line) for line in ended.out.splitlines()]
    assert [one["file"] for one in told] == sorted(
        (str(path) for path in folder.rglob("*") if path.is_file() and "circle" not in path.parts),
        key=lambda path: (path.count(os.sep), path),
    )
    assert all(one["verified"] for one in told)
    stored = {}
    for one in (told[0], told[1], told[2], told[-1]):
        metadata = await metadata_of(http, one["url"])
        assert metadata["album"] == "a=b, c"
        stored[metadata["relativePath"]] = server.published(one["url"])
    assert stored.items() <= files_of(folder).items()
    assert "photos/winter/000.txt" in stored
    assert sorted(map(server.published, (one["url"] for one in told))) == sorted(files_of(folder).values())
    assert resume_files(tmp_path) == []


async def test_a_request_that_is_cut_is_repeated_and_makes_no_second_file(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    """Connections are cut in the middle of requests."""
    before = len(list((server.data / "files").iterdir()))
    faults = [(size, fault) for size in (300, 1500, 2600, 5000, 7000, 40_000) for fault in (Fault.CUT, Fault.CUT)]
    async with RoughLine(server.tus.port, faults).running() as line:
        ended = await run(tmp_path, "upload", "-r", str(folder), "--to", line.url, "--json")
        assert line.done
    assert ended.code == 0, ended.err
    told = [json.loads(line) for line in ended.out.splitlines()]
    assert all(one["verified"] for one in told)
    assert len({one["url"] for one in told}) == len(told)
    assert len(list((server.data / "files").iterdir())) == before + len(told)


async def test_a_killed_command_makes_no_second_file_when_it_is_run_again(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    before = len(list((server.data / "files").iterdir()))
    words = ("upload", "-r", str(folder), "--to", server.url, "--jobs=2")
    async with started(tmp_path, *words) as process:
        assert process.stdout is not None
        for _ in range(8):
            await asyncio.wait_for(process.stdout.readline(), 60)
        process.send_signal(signal.SIGKILL)
        await end_of(process)
    ended = await run(tmp_path, *words)
    assert ended.code == 0, ended.err
    assert "already uploaded" in ended.err
    assert len(set(ended.out.split())) == COUNT + 2
    assert len(list((server.data / "files").iterdir())) == before + COUNT + 2
    assert resume_files(tmp_path) == []
    again = await run(tmp_path, *words)
    assert set(again.out.split()).isdisjoint(ended.out.split())


async def test_a_name_and_metadata_are_told_to_the_server(
    server: Server, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    ended = await run(
        tmp_path, "upload", "-", "--name", "notes.txt", "--metadata=a=1", "--to", server.url, stdin=b"some bytes"
    )
    assert ended.code == 0, ended.err
    metadata = await metadata_of(http, ended.out.strip())
    assert metadata == {"filename": "notes.txt", "filetype": "text/plain", "a": "1"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["a", "b", "--name=c"], "--name: it is the name of one file, and there may be several"),
        (["a", "--metadata=b"], "--metadata: 'b' is not KEY=VALUE, such as customer=42"),
        (["a", "--metadata=b c=d"], "--metadata: 'b c' is not a key: it may have letters, digits and signs, but no space"),
        (["a", "--cacert=missing.pem"], "--cacert: 'missing.pem' can't be read: there is no such file"),
        (["a", "--limit-rate=fast"], "--limit-rate: 'fast' is not a size: write a number of bytes, or a size such as 64KiB, 5G or 10GB"),
    ],
)  # fmt: skip
async def test_wrong_words_about_files_are_one_sentence(tmp_path: Path, words: list[str], sentence: str) -> None:
    ended = await run(tmp_path, "upload", *words, "--to=http://h/files")
    assert (ended.code, ended.err) == (2, f"onward: {sentence}\n")


async def test_the_rate_is_limited_over_all_files(server: Server, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(os.urandom(300_000))
    begin = asyncio.get_running_loop().time()
    ended = await run(
        tmp_path, "upload", str(tmp_path / "a"), str(tmp_path / "b"), "--to", server.url, "--limit-rate=200KB"
    )
    assert ended.code == 0, ended.err
    assert asyncio.get_running_loop().time() - begin > 2.5


async def test_a_journal_survives_a_line_that_was_cut_and_is_for_one_process(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, "http://h/files", "tus")
    assert journal is not None
    assert open_journal(tmp_path, "http://h/files", "tus") is None
    journal.plan(["a", "b"], again=False)
    keys = [journal.creation_key(file, {"x": "y"}) for file in "ab"]
    journal.finish("a", Finished("http://h/files/1", "00", True))
    await journal.close()
    path = next(tmp_path.glob("*.journal"))
    path.write_bytes(path.read_bytes() + b'["b","')
    journal = open_journal(tmp_path, "http://h/files", "tus")
    assert journal is not None
    journal.plan(["a", "b"], again=False)
    assert [journal.creation_key(file, {"x": "y"}) for file in "ab"] == keys
    assert journal.creation_key("a", {"x": "z"}) != keys[0]
    assert journal.finished("a") == Finished("http://h/files/1", "00", True)
    assert journal.finished("b") is None
    journal.renew("b")
    assert journal.creation_key("b", {"x": "y"}) != keys[1]
    journal.forget(["a", "b"])
    await journal.close()
    assert list(tmp_path.iterdir()) == []


async def test_links_to_files_and_files_that_are_named_twice_do_not_stand_in_each_others_way(
    server: Server, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    folder = tmp_path / "libraries"
    (folder / "below").mkdir(parents=True)
    for name, size in (("small.txt", 1000), ("large.so", 300_000)):
        (folder / name).write_bytes(os.urandom(size))
        (folder / f"link to {name}").symlink_to(name)
        (folder / "below" / name).symlink_to(folder / name)
    ended = await run(tmp_path, "upload", "-r", str(folder), "--to", server.url, "--jobs=8")
    assert (ended.code, ended.err) == (0, "")
    urls = ended.out.splitlines()
    paths = {(await metadata_of(http, url))["relativePath"] for url in urls}
    assert paths == {str(path.relative_to(tmp_path)) for path in folder.rglob("*") if path.is_file()}
    twice = [str(folder / "large.so"), str(folder / "large.so"), str(folder / "below" / ".." / "large.so")]
    ended = await run(tmp_path, "upload", *twice, "--to", server.url)
    assert (ended.code, len(set(ended.out.splitlines())), ended.err.count("already uploaded")) == (0, 1, 2)
    assert resume_files(tmp_path) == []


async def test_no_more_files_are_sent_at_once_than_the_process_may_open(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number:03}.txt").write_bytes(os.urandom(100 if number % 4 else 70_000))
    async with started(tmp_path, "upload", "-r", str(folder), "--to", server.url, "--jobs=500") as process:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (128, 128))
        ended = await end_of(process)
    assert (ended.code, ended.err, len(ended.out.splitlines())) == (0, "", 200)
