"""Where finished files go: their paths, their permissions, their URL, and how long they are kept."""

import hashlib
import json
import os
import re
import time
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from http_connection import Headers, Tus, poll
from server_process import Start, serving

DATA = b"a finished file" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


def named(name: str) -> Headers:
    return {"Upload-Metadata": f"filename {b64encode(name.encode()).decode()}"}


def told(tus: Tus, path: str) -> dict[str, Any]:
    return json.loads(tus.progress(path))  # type: ignore[no-any-return]


def files(data: Path) -> dict[str, bytes]:
    """Return all that is below files/, by its path."""
    root = data / "files"
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_a_file_gets_the_path_that_the_layout_makes(start: Start) -> None:
    server = start("--layout={date:%Y}/{sha256:2}/{name}", "--file-mode=0644", "--dir-mode=0755")
    first, second = (server.tus.stored(DATA, named("../../.über\x07 uns.tar.gz")) for _ in range(2))
    year = time.strftime("%Y", time.gmtime())
    paths = [told(server.tus, each)["path"] for each in (first, second)]
    assert paths[0].startswith(f"{year}/{SHA256[:2]}/")
    assert paths[0].endswith("über uns.tar.gz")
    assert paths[1] == paths[0].replace(".tar.gz", f"-{second.rpartition('/')[2][:8]}.tar.gz")
    assert files(server.data) == dict.fromkeys(paths, DATA)
    for folder, mode in (("", 0o700), (year, 0o755), (f"{year}/{SHA256[:2]}", 0o755), (paths[0], 0o644)):
        assert (server.data / "files" / folder).stat().st_mode & 0o777 == mode
    for each in (first, second):
        answer = server.tus.ask("GET", each, {"Range": "bytes=5-9"})
        assert (answer.status, answer.body) == (206, DATA[5:10])
    assert server.tus.ask("DELETE", first, {"Tus-Resumable": "1.0.0"}).status == 204
    assert files(server.data) == {paths[1]: DATA}
    assert not list((server.data / "partial").iterdir())


def test_a_joined_file_an_empty_one_and_one_in_pieces_get_theirs(start: Start) -> None:
    server = start("--layout={name}")
    tus = server.tus
    parts = [tus.stored(each, {"Upload-Concat": "partial"}) for each in (DATA[:400], DATA[400:])]
    final = tus.post({"Upload-Concat": f"final;{' '.join(parts)}", **named("joined")})
    empty = tus.create(0, named("empty"))
    pieces = tus.create(len(DATA), named("pieces"))
    for at in range(0, len(DATA), 4000):
        assert tus.patch(pieces, at, DATA[at : at + 4000]).status == 204
    assert final.status == 201
    assert files(server.data) == {"joined": DATA, "empty": b"", "pieces": DATA}
    assert told(tus, empty)["path"] == "empty"


def test_a_file_that_was_moved_away_does_not_take_its_name_along(start: Start) -> None:
    server = start("--layout={name}")
    first = server.tus.stored(DATA, named("report.pdf"))
    (server.data / "files" / "report.pdf").rename(server.data / "taken.pdf")
    assert server.tus.ask("GET", first).status == 410
    other = DATA[::-1]
    second = server.tus.stored(other, named("report.pdf"))
    assert files(server.data) == {"report.pdf": other}
    assert server.tus.ask("GET", first).status == 410, "the file of another upload"
    assert server.tus.ask("DELETE", first, {"Tus-Resumable": "1.0.0"}).status == 204
    assert server.tus.ask("GET", second).body == other
    assert files(server.data) == {"report.pdf": other}


def test_a_layout_may_change_between_two_starts(tmp_path: Path) -> None:
    uploads: dict[str, str] = {}
    for number, layout in enumerate(("{id}", "{sha256}/{name}", "{name}", "{id}")):
        with serving(tmp_path / "data", [f"--layout={layout}"]) as server:
            uploads[server.tus.stored(DATA, named(f"a{number}"))] = layout
            for path in uploads:
                assert server.tus.ask("GET", path).body == DATA
                assert server.tus.head(path)["Upload-Offset"] == str(len(DATA))
    ids = [path.rpartition("/")[2] for path in uploads]
    assert set(files(tmp_path / "data")) == {ids[0], f"{SHA256}/a1", "a2", ids[3]}


def test_the_public_url_is_told_and_may_be_redirected_to(start: Start) -> None:
    server = start("--layout={name}", "--public-url=https://cdn.example/x/{path}?a=1", "--download=redirect")
    path, url = server.tus.create(len(DATA), named("ä b.txt")), "https://cdn.example/x/%C3%A4%20b.txt?a=1"
    assert "Content-Location" not in server.tus.head(path)
    assert server.tus.patch(path, 0, DATA)["Content-Location"] == url
    assert server.tus.head(path)["Content-Location"] == url
    assert told(server.tus, path)["url"] == url
    answer = server.tus.ask("GET", path)
    assert (answer.status, answer["Location"]) == (302, url)


def test_without_a_redirect_the_file_is_sent_with_its_url(start: Start) -> None:
    server = start("--public-url=https://cdn.example/{path}")
    path = server.tus.stored(DATA)
    answer = server.tus.ask("GET", path)
    assert (answer.status, answer.body) == (200, DATA)
    assert answer["Content-Location"] == f"https://cdn.example/{path.rpartition('/')[2]}"


@pytest.mark.parametrize("layout", ["{id}", "{name}"])
def test_a_finished_file_is_kept_as_long_as_it_shall_be(start: Start, layout: str) -> None:
    server = start("--keep-completed=1", "--sweep-every=0.1", f"--layout={layout}")
    path = server.tus.stored(DATA)
    assert server.tus.ask("GET", path).body == DATA
    poll(lambda: told(server.tus, path)["status"] == "expired")
    poll(lambda: not files(server.data))
    assert server.tus.ask("GET", path).status == 410
    answer = server.tus.head(path)
    assert (answer.status, "Upload-Offset" in answer) == (410, False)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--layout={date:%Y}/static"], "needs {id}, {sha256} or {name}"),
        (["--layout={nothing}"], "is unknown"),
        (["--download=redirect"], "--public-url"),
        (["--public-url=https://cdn.example/"], "{path}"),
        (["--public-url=ftp://cdn.example/{path}"], "is not a URL"),
        (["--file-mode=0044"], "--file-mode: 0044 "),
        (["--dir-mode=0500"], "--dir-mode: 0500 "),
    ],
)
def test_what_can_not_work_is_refused_at_the_start(tmp_path: Path, options: list[str], why: str) -> None:
    with pytest.raises(AssertionError), ExitStack() as stack:
        stack.enter_context(serving(tmp_path / "data", options))
    assert re.search(re.escape(why), (tmp_path / "data.log").read_text())


def test_a_folder_that_is_gone_or_a_file_in_its_place_is_no_obstacle(start: Start) -> None:
    server = start("--layout={name}/{sha256:2}")
    server.tus.stored(DATA, named("a"))
    (server.data / "files" / "a" / SHA256[:2]).unlink()
    (server.data / "files" / "a").rmdir()
    again = server.tus.stored(DATA, named("a"))
    assert told(server.tus, again)["path"] == f"a/{SHA256[:2]}"
    (server.data / "files" / "b").write_bytes(b"put there by hand")
    below = server.tus.stored(DATA, named("b"))
    assert told(server.tus, below)["path"] == below.rpartition("/")[2]
    assert files(server.data)["b"] == b"put there by hand"
    assert os.path.isfile(server.data / "files" / below.rpartition("/")[2])
